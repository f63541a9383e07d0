-- Who is the user with this id? The statement of GetMe (server/svoykrug_server/users/repository.py), for every baseline that sends SQL.
SELECT
    u.id, u.phone, u.display_name, u.email, u.birth_date, u.locale, u.tier, u.roles,
    ARRAY(
        SELECT s.business_id::text || ' ' || s.role FROM business_staff s JOIN businesses b ON b.id = s.business_id
        WHERE s.user_id = u.id AND b.status = 'active'
    ) AS staff,
    u.status, u.version, u.referral_code, u.create_time, u.update_time
FROM users u WHERE u.id = CAST(:user_id AS uuid);
