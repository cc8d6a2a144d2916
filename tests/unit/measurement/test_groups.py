"""Conditions compared: the animal is the unit, by the mixed model where it can be, by Welch's test where not."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from planewise.errors import PlanewiseError
from planewise.measurement.groups import (
    MIXED,
    WELCH,
    Member,
    animal_means,
    as_files_are_named,
    compare_conditions,
    read_groups,
    refuse_too_few,
)


def cohort(animals, objects, effect, spread, seed=0, cases=1, between_cases=0.0):
    """Return the members and values of two conditions; animals differ by ``spread``, their cases, objects by 1."""
    rng = np.random.default_rng(seed)
    members, values = [], {}
    for condition in ("wt", "ko"):
        for number in range(animals):
            mean = 10 + effect * (condition == "ko") + spread * rng.normal()
            for part in range(cases):
                member = Member(f"{condition}{number}_{part}", f"{condition}{number}", condition)
                members.append(member)
                values[member.case] = mean + between_cases * rng.normal() + rng.normal(size=objects)
    return members, values


def test_a_balanced_mixed_model_is_the_t_test_of_animal_means():
    """With as many objects in every animal the two agree exactly (REML of a balanced one-way layout)."""
    members, values = cohort(4, 30, 2.0, 1.0)
    row = compare_conditions(members, {"volume": values})[0]
    means = [[values[m.case].mean() for m in members if m.condition == c] for c in ("ko", "wt")]
    test = ttest_ind(*means)
    assert row.method == MIXED
    assert (row.first, row.second, row.animals, row.cases, row.objects) == ("wt", "ko", (4, 4), (4, 4), (120, 120))
    assert row.difference == pytest.approx(np.mean(means[0]) - np.mean(means[1]), rel=1e-4)
    assert row.p == pytest.approx(test.pvalue, rel=1e-3)
    interval = test.confidence_interval()
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high), rel=1e-3)


def test_where_animals_do_not_differ_their_means_are_compared():
    rng = np.random.default_rng(3)
    members, values = cohort(3, 40, 1.0, 0.0)
    values = {case: v - v.mean() + 10 + 0.001 * rng.normal() for case, v in values.items()}  # less than chance gives
    row = compare_conditions(members, {"volume": values})[0]
    assert row.method == WELCH
    means = [[values[m.case].mean() for m in members if m.condition == c] for c in ("ko", "wt")]
    assert row.p == pytest.approx(ttest_ind(*means, equal_var=False).pvalue)


def test_one_value_a_case_is_welch_by_hand():
    members, values = cohort(2, 1, 0.0, 0.0)
    values = dict(zip(values, map(np.array, ([1.0], [3.0], [6.0], [10.0]))))
    row = compare_conditions(members, {"number_density": values})[0]
    assert (row.method, row.difference, row.means) == (WELCH, 6.0, (2.0, 8.0))
    # standard error: sqrt(2 / 2 + 8 / 2) = sqrt(5); freedom (1 + 4)^2 / (1 + 16) = 25 / 17
    test = ttest_ind([6, 10], [1, 3], equal_var=False)
    assert test.df == pytest.approx(25 / 17)
    assert row.p == pytest.approx(test.pvalue)


def test_many_objects_of_few_animals_prove_nothing():
    """No effect, animals that differ: a test of pooled objects is wrong most of the time, this one in about 1 of 20."""
    ours, pooled = 0, 0
    for seed in range(60):
        members, values = cohort(3, 60, 0.0, 1.0, seed)
        ours += compare_conditions(members, {"volume": values})[0].p < 0.05
        both = [np.concatenate([values[m.case] for m in members if m.condition == c]) for c in ("wt", "ko")]
        pooled += ttest_ind(*both).pvalue < 0.05
    assert pooled > 30
    assert ours <= 8


@pytest.mark.parametrize("between_cases", [0.0, 0.7])
def test_several_cases_of_an_animal_are_one_animal(between_cases):
    """Balanced, it is the t test of the animals' means again, whether their cases differ or not."""
    members, values = cohort(4, 20, 3.0, 2.0, cases=3, between_cases=between_cases)
    row = compare_conditions(members, {"volume": values})[0]
    assert (row.method, row.animals, row.cases, row.objects) == (MIXED, (4, 4), (12, 12), (240, 240))
    of_animals = [animal_means([m for m in members if m.condition == c], values).values() for c in ("ko", "wt")]
    test = ttest_ind(*map(list, of_animals))
    assert row.p == pytest.approx(test.pvalue, rel=1e-2)
    interval = test.confidence_interval()
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high), rel=1e-2)


def test_three_conditions_are_compared_two_by_two_and_adjusted():
    members, values = cohort(3, 10, 1.0, 1.0)
    third = [Member(f"c{i}", f"c{i}", "drug") for i in range(3)]
    values |= {member.case: np.array([5.0, 6.0, 7.0 + i]) for i, member in enumerate(third)}
    rows = compare_conditions([*members, *third], {"volume": values})
    assert [(row.first, row.second) for row in rows] == [("wt", "ko"), ("wt", "drug"), ("ko", "drug")]
    smallest = min(rows, key=lambda row: row.p)
    assert smallest.p_holm == pytest.approx(min(1, 3 * smallest.p))
    assert all(row.p_holm >= row.p for row in rows)


def test_what_never_varies_has_no_p():
    members, values = cohort(2, 5, 0.0, 0.0)
    row = compare_conditions(members, {"loops": {case: np.zeros(5) for case in values}})[0]
    assert (row.difference, row.method) == (0, WELCH)
    assert np.isnan([row.p, row.low, row.p_holm]).all()


def test_a_measure_that_animals_do_not_have_is_left_out():
    members, values = cohort(2, 5, 0.0, 0.0)
    values["ko1_0"] = np.array([np.nan])
    assert compare_conditions(members, {"length": values}) == []


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def test_a_table_is_read_as_spreadsheets_write_it(tmp_path):
    text = "\ufeffcondition;case;note;animal\nwt;a;x;1\nwt;b;;2\n;;;\nko;c;;3\nko;d;;4\n"
    members = read_groups(write(tmp_path / "groups.csv", text))
    assert members[0] == Member("a", "1", "wt")
    assert len(members) == 4
    for separator in ",;\t":
        text = "Case,Animal,CONDITION\r\na,1,wt\r\nb,2,wt\r\nc,3,ko\r\nd,4,ko\r\n".replace(",", separator)
        assert read_groups(write(tmp_path / "groups.csv", text))[3] == Member("d", "4", "ko")


def test_a_file_that_is_no_utf8_says_how_to_save_it(tmp_path):
    (tmp_path / "groups.csv").write_bytes("case;animal;condition\nKÖ;1;wt\n".encode("cp1252"))
    with pytest.raises(PlanewiseError, match="which Excel saves as 'CSV UTF-8'"):
        read_groups(tmp_path / "groups.csv")


def test_names_that_look_alike_are_one_case():
    """Ö as one letter, as in a spreadsheet, and as O with two dots, as in a file that was copied from a Mac."""
    members = [Member("K\u00d6", "1", "wt"), Member("b", "2", "ko")]
    assert as_files_are_named(members, {"KO\u0308", "a"}) == [Member("KO\u0308", "1", "wt"), members[1]]


def test_animals_of_one_condition_that_are_alike_give_no_warning():
    members, values = cohort(2, 1, 0.0, 0.0)
    values = dict(zip(values, map(np.array, ([30.2], [30.2], [38.9], [25.9]))))
    row = compare_conditions(members, {"number_density": values})[0]
    assert row.difference == pytest.approx(2.2)
    # standard error: sqrt(84.5 / 2) = 6.5; freedom 1
    assert row.p == pytest.approx(ttest_ind([38.9, 25.9], [30.2, 30.2 + 1e-6], equal_var=False).pvalue, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", "has no column case, animal, condition"),
        ("case,animal\na,1\n", "has no column condition"),
        ("case,animal,condition\na,1,\n", "line 2 has no condition"),
        ("case,animal,condition\na,1,wt\na,1,wt\n", "names case a more than once"),
        ("case,animal,condition\na,1,wt\nb,1,ko\n", "animal 1 is in conditions ko, wt"),
        ("case,animal,condition\na,1,wt\nb,2,wt\n", "holds 1 condition; at least two are needed"),
        ("case,animal,condition\na,1,wt\nb,1,wt\nc,2,ko\nd,3,ko\n", r"condition wt has 1 animal \(1\); at least 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, text, printed):
    with pytest.raises(PlanewiseError, match=printed):
        read_groups(write(tmp_path / "groups.csv", text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "groups.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanewiseError, match="cannot be read"):
        read_groups(tmp_path / "groups.csv")


def test_too_few_animals_are_named():
    with pytest.raises(PlanewiseError, match="of those: condition ko has 1 animal"):
        refuse_too_few([Member("a", "1", "wt"), Member("b", "2", "wt"), Member("c", "3", "ko")], "of those")
