"""Which encoding a file has, found out from real Russian texts."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svoykrug_server.purchases.csv.encodings import find_encoding, told_name
from svoykrug_server.purchases.csv.model import Problem, UnreadableFile

TEXTS = {
    "one header": "Телефон;Чек;Сумма;Дата\r\n+79991234567;1;100;01.05.2026\r\n",
    "a short header": "Тел;Чек\r\n1;2\r\n",
    "capitals": "ТЕЛЕФОН;НОМЕР ЧЕКА;СУММА;ДАТА\r\n",
    "names": "Анна Сергеевна Ёлкина;Щукина Юлия;Эльвира Фахрутдинова;Цой Яна\r\n",
    "services": "маникюр с покрытием;окрашивание волос;чистка лица;букет из пионов;съёмка объявления\r\n",
    "prose": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\r\n",
    "addresses": "г. Москва, ул. Большая Ордынка, д. 5; Санкт-Петербург, наб. реки Фонтанки\r\n",
    "an abbreviation": "ООО РОМАШКА;ИП Жукова;ЗАО ЭФИР\r\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "windows-1251", "koi8-r", "utf-16", "utf-16-le", "utf-16-be"],
)
def test_a_russian_text_is_read_back_as_it_was_written(text: str, encoding: str) -> None:
    file = io.BytesIO(text.encode(encoding))

    found = find_encoding(file)

    assert file.getvalue().decode(found) == text
    assert told_name(found) == {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(
        encoding, encoding
    )


def test_a_file_is_utf_8_only_when_all_of_it_is() -> None:
    header = b"phone;receipt;amount;date\r\n" * 200_000

    assert find_encoding(io.BytesIO(header + "Чек".encode())) == "utf-8-sig"
    assert find_encoding(io.BytesIO(header + "Чек по продаже".encode("koi8-r"))) == "koi8-r"
    assert find_encoding(io.BytesIO(header + "Чек по продаже".encode("windows-1251"))) == "windows-1251"


@pytest.mark.parametrize("encoding", ["windows-1251", "koi8-r"])
def test_a_word_weighs_once_however_often_a_file_repeats_it(encoding: str) -> None:
    lines = [f"{number};чек-{number};цой;дом;ОБЕД\r\n" for number in range(5_000)]
    content = "".join(["Телефон;Чек;Сумма;Дата\r\n", *lines]).encode(encoding)

    assert find_encoding(io.BytesIO(content)) == encoding


def test_what_the_caller_says_counts() -> None:
    koi8 = io.BytesIO("Телефон".encode("koi8-r"))

    assert find_encoding(koi8, "windows-1251") == "windows-1251"
    with pytest.raises(UnreadableFile) as refused:
        find_encoding(koi8, "utf-8")
    assert refused.value.problem is Problem.ENCODING


@given(st.lists(st.sampled_from(" ".join(TEXTS.values()).split()), min_size=12, max_size=40))
def test_words_of_russian_in_any_order_are_told_apart(words: list[str]) -> None:
    text = " ".join(words)

    for encoding in ("windows-1251", "koi8-r"):
        content = text.encode(encoding, "ignore")
        assert content.decode(find_encoding(io.BytesIO(content))) == content.decode(encoding)
