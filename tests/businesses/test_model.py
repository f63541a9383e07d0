from datetime import UTC, datetime
from uuid import uuid4

import pytest

from svoykrug_server.businesses.model import Business, BusinessChange, BusinessStatus, Category, NewBusiness

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["", " ", "\u00a0", "x" * 201, "two\nlines", "a\x00b"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        NewBusiness(name, Category.BEAUTY)
    with pytest.raises(ValueError, match="name"):
        BusinessChange(name=name)
    with pytest.raises(ValueError, match="name"):
        Business(uuid4(), name, Category.BEAUTY, False, BusinessStatus.ACTIVE, 1, NOW, NOW)


@pytest.mark.parametrize("name", ["Салон\u202eнолаС", "Са\u200bлон", "Салон\u2028"])
def test_a_name_that_hides_something_is_given_no_more_and_read_where_it_was(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        NewBusiness(name, Category.BEAUTY)
    with pytest.raises(ValueError, match="name"):
        BusinessChange(name=name)
    assert Business(uuid4(), name, Category.BEAUTY, False, BusinessStatus.ACTIVE, 1, NOW, NOW).name == name


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("asked", [False, True])
def test_dental_and_medical_businesses_are_sensitive_whatever_was_asked(category: Category, asked: bool) -> None:
    new = NewBusiness("Дом", category, asked)
    assert new.is_sensitive == (asked or category in {Category.DENTAL, Category.MEDICAL})


@pytest.mark.parametrize("category", [Category.DENTAL, Category.MEDICAL])
def test_no_dental_or_medical_business_that_is_not_sensitive_can_be_thought_of(category: Category) -> None:
    with pytest.raises(ValueError, match="sensitive"):
        Business(uuid4(), "Дом", category, False, BusinessStatus.ACTIVE, 1, NOW, NOW)


def test_a_change_that_names_no_field_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one field"):
        BusinessChange()
