import re

import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.study.styles import read_markdown_table, styled

TABLE = pd.DataFrame(
    {
        "row": ["ID <a>", "SR+ID", "SR+ID+PS", "bicubic"],
        "published rank-1": ["84.7", "91.5", "87.6", "-"],
        "rank-1": ["57.1 ± 0.4", "57.1 ± 1.2", "60.0 ± 0.1", "9.0 ± 3.0"],
        "LPIPS": [0.5, 0.25, 0.75, float("nan")],
        "note": ["1", "2", "3", "4"],
    }
)


def styles_of(html: str, row: int, column: int) -> set[str]:
    """Declarations that a cell's id is named with."""
    found = set()
    for selectors, declarations in re.findall(r"([^{}]+)\{([^{}]*)\}", html[: html.index("</style>")]):
        if any(selector.strip().endswith(f"row{row}_col{column}") for selector in selectors.split(",")):
            found |= {" ".join(part.split()) for part in declarations.split(";") if part.strip()}
    return found


def test_best_is_bold_and_second_underlined_in_each_compared_column():
    html = styled(TABLE).to_html()
    bold = [
        (row, column) for row in range(4) for column in range(5) if "font-weight: bold" in styles_of(html, row, column)
    ]
    underlined = [
        (row, column)
        for row in range(4)
        for column in range(5)
        if "text-decoration: underline" in styles_of(html, row, column)
    ]
    assert bold == [(1, 1), (2, 2)]
    assert underlined == [(0, 2), (1, 2), (2, 1)]  # equal means share their place


def test_the_smallest_can_be_the_best():
    html = styled(TABLE, higher_is_better=[], lower_is_better=["LPIPS"]).to_html()
    assert "font-weight: bold" in styles_of(html, 1, 3)
    assert "text-decoration: underline" in styles_of(html, 0, 3)
    assert "font-weight: bold" not in html.replace("font-weight: bold", "", 1)


def test_published_columns_are_set_apart():
    html = styled(TABLE).to_html()
    apart = [column for column in range(5) if any("background-color" in part for part in styles_of(html, 0, column))]
    assert apart == [1]


def test_deviations_are_small_and_texts_escaped():
    html = styled(TABLE).to_html()
    assert "57.1 <small>± 0.4</small>" in html
    assert "ID &lt;a&gt;" in html
    assert ">0.8<" in html  # 0.75 to one decimal, as the tables have it
    assert ">-</td>" in html


def test_one_distinct_number_has_no_best():
    html = styled(pd.DataFrame({"rank-1": ["5.0", "5.0", "-"]})).to_html()
    assert "bold" not in html
    assert "underline" not in html


def test_a_counting_index_is_hidden_and_rows_names_are_not():
    assert 'class="row_heading' not in styled(TABLE).to_html()
    assert 'class="row_heading' not in styled(TABLE.iloc[[2, 0]]).to_html()
    assert 'class="row_heading' in styled(TABLE.set_index("row")).to_html()


def test_long_words_break_and_stand_left():
    notes = pd.DataFrame({"rank-1": ["1", "2"], "note": ["-", "words " * 10], "set": ["2 of " * 10, "-"]})
    html = styled(notes).to_html()
    assert [any("white-space: normal" in part for part in styles_of(html, 1, column)) for column in range(3)] == [
        False,
        True,
        False,
    ]


def test_rows_that_repeat_a_name_are_no_rivals():
    table = pd.DataFrame({"query": ["a", "a", "b"], "SSIM": ["0.1", "0.2", "0.3"]})
    assert "bold" not in styled(table).to_html()
    assert "bold" in styled(table, higher_is_better=["SSIM"]).to_html()
    assert "bold" in styled(table.assign(query=["a", "b", "c"])).to_html()


def test_the_same_table_gives_the_same_html():
    assert styled(TABLE).to_html() == styled(TABLE.copy()).to_html()
    assert TABLE["rank-1"].tolist()[0] == "57.1 ± 0.4"  # what is saved stays plain


def test_unknown_columns_are_refused():
    with pytest.raises(InputError, match="no column 'mAP'; it has row, published rank-1"):
        styled(TABLE, lower_is_better=["mAP"])


def test_markdown_tables_come_back():
    table = TABLE.drop(columns="LPIPS")
    back = read_markdown_table(table.to_markdown(index=False, disable_numparse=True) + "\n")
    pd.testing.assert_frame_equal(back, table, check_dtype=False)
    for text in ("", "some words", "| a | b |\n| 1 |\n"):
        with pytest.raises(InputError, match="not a Markdown table"):
            read_markdown_table(text)


def test_columns_may_be_numbers():
    assert ">3.5</td>" in styled(pd.DataFrame({2: [3.5], 4: [1.0]}, index=["SR+ID"])).to_html()
