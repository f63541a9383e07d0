"""What operations keep about a person, and what becomes of it when she is erased."""

from svoykrug_server.storage.personal_data import Change, Declared, Impersonal, PersonalRows, Purpose, Store

DECLARED = Declared(
    personal=(
        PersonalRows(
            "operations",
            Purpose("Long work that you started", "Запущенные вами долгие операции"),
            "kept.starter_id = :user_id",
            Change("starter_id = '00000000-0000-0000-0000-000000000000'"),
            columns=("id", "kind", "state", "create_time", "start_time", "end_time"),
        ),
    ),
    impersonal=(Impersonal(Store.POSTGRES, "scheduled_runs", "which jobs of the schedule were done when"),),
)
