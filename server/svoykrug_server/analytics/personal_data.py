"""What analytics keeps about a person: numbers of a member, which lead to nobody once the link to her is gone."""

from svoykrug_server.storage.personal_data import Declared, Impersonal, Purpose, Store, WarehouseRows

DECLARED = Declared(
    warehouse=(
        WarehouseRows(
            "snapshot_members",
            Purpose("Segments that you were in", "Сегменты, в которых вы были"),
            key="build_id",
        ),
        WarehouseRows(
            "churn_scores",
            Purpose("How likely you were to come back", "Оценки того, вернётесь ли вы"),
            key="scoring_id",
        ),
    ),
    impersonal=(
        Impersonal(Store.POSTGRES, "snapshots", "which snapshots there are, with totals"),
        Impersonal(Store.POSTGRES, "churn_models", "models as numbers, learned from everybody"),
        Impersonal(Store.POSTGRES, "churn_scorings", "which scorings there are"),
        Impersonal(Store.POSTGRES, "churn_receipts", "totals of scorings"),
    ),
)
