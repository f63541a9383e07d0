"""What businesses keep about a person, and what becomes of it when she is erased."""

from svoykrug_server.storage.personal_data import Declared, Delete, Impersonal, PersonalRows, Purpose, Store

DECLARED = Declared(
    personal=(
        PersonalRows(
            "business_staff",
            Purpose("Businesses that you work for", "Партнёры, у которых вы работаете"),
            "kept.user_id = :user_id",
            Delete(),
        ),
    ),
    impersonal=(Impersonal(Store.POSTGRES, "businesses", "partners, not people"),),
)
