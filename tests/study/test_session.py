"""A notebook's parameters, its choice of rows and settings, and where its tables and figures go."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.rows import loss_ablation_rows
from crreid.study.session import open_study

ITEM = "table2_loss_ablation"
ROWS = ["HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS"]
ROWS += [f"small ResNet-18: {step}" for step in ("HR only", "ID", "ID+PS", "SR+ID", "SR+ID+PS")]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("CRREID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CRREID_DEVICE", "cpu")
    return tmp_path / "results"


def opened(**parameters):
    return open_study(ITEM, profile="smoke", **parameters)


READ = {
    "seeds": [
        ((), (0,)),
        ([0, 2], (0, 2)),
        ("[0, 1]", (0, 1)),
        ("3", (3,)),
        (3, (3,)),
        ("[]", (0,)),
        ("(4, 5)", (4, 5)),
    ],
    "force": [("false", False), ("False", False), ("true", True), (True, True), (False, False)],
    "rows": [("", ()), ("SR+ID", ("SR+ID",)), ('["ID", "SR+ID"]', ("ID", "SR+ID")), (("ID",), ("ID",))],
}


@pytest.mark.parametrize("name", READ)
def test_parameters_are_read_by_their_type(name):
    for given, expected in READ[name]:
        assert getattr(opened(**{name: given}), name) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"seeds": [-1]}, "seeds must be whole numbers of at least 0"),
        ({"seeds": "many"}, "seeds must be whole numbers of at least 0"),
        ({"seeds": [1.5]}, "seeds must be whole numbers of at least 0"),
        ({"seeds": [True]}, "seeds must be whole numbers of at least 0"),
        ({"force": "perhaps"}, "force must be true or false, not 'perhaps'"),
        ({"force": 1}, "force must be true or false, not 1"),
        ({"rows": 3}, "rows must be a list of names"),
        ({"changes": "schedule.epochs"}, "changes must be settings and values"),
        ({"profile": 4}, "profile must be text, not 4"),
        ({"dataset": "mlr-marked-1501"}, "did you mean 'market-1501'?"),
        ({"profile": "smock"}, "unknown profile 'smock'"),
        ({"weights": "nowhere.pth"}, "nowhere.pth"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(parameters, message):
    with pytest.raises(InputError) as caught:
        open_study(ITEM, **{"profile": "smoke"} | parameters)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runs_are_those_of_every_row_and_seed():
    study = opened(seeds=[0, 5])
    runs = study.runs(loss_ablation_rows)
    assert list(runs) == ROWS
    assert [run.seed for run in runs["ID"]] == [0, 5]
    expected = loss_ablation_rows(replace(study.profile, seed=5, weights=study.weights))
    assert runs["SR+ID+PS"][1] == expected["SR+ID+PS"]
    assert study.paper(loss_ablation_rows)["ID"][0].schedule.epochs == 71
    assert str(study) == "table2_loss_ablation: profile smoke, mlr-synthetic, seeds 0, 5"


def test_rows_can_be_chosen_and_unknown_ones_are_told():
    assert list(opened(rows=["SR+ID"]).runs(loss_ablation_rows)) == ["SR+ID"]
    with pytest.raises(InputError, match=r"no row 'SR\+I'; expected one of HRNet.*; did you mean 'SR\+ID'\?"):
        opened(rows="SR+I").runs(loss_ablation_rows)


def test_a_chosen_row_of_the_plain_network_stands_for_the_papers():
    study = opened(rows=["small ResNet-18: ID"])
    [(row, [run])] = study.paper(loss_ablation_rows).items()
    assert row == "small ResNet-18: ID"
    assert run.method.runs_on == "resnet50"


def test_settings_can_be_changed_by_one_parameter(monkeypatch, capsys):
    monkeypatch.setattr(
        "crreid.study.session.measure_all", lambda runs, workspace: Work({run.digest: run for run in runs})
    )
    study = opened(changes='{"schedule.epochs": 1, "method.pseudo_siamese_weight": 2.0}')
    runs = study.runs(loss_ablation_rows)
    assert {run.schedule.epochs for of_row in runs.values() for run in of_row} == {1}
    assert runs["SR+ID+PS"][0].method.pseudo_siamese_weight == 2.0
    assert study.folder.relative_to(study.workspace.runs_dir).parts[0] == "drafts"
    study.measure(runs)
    assert "drafts/smoke/mlr-synthetic" in capsys.readouterr().out


def test_changed_cameras_are_those_of_the_data_shown():
    data = opened(changes={"data.mlr.cameras": [2]}).data()
    assert data.query.rows["camera"].unique().tolist() == [2]


def test_a_choice_of_rows_never_replaces_a_fuller_rendering(results):
    usual = results / "smoke" / "mlr-synthetic"
    assert opened(rows=["ID", "SR+ID"]).folder == usual
    usual.mkdir(parents=True)
    published = usual / f"{ITEM}.ipynb"
    published.write_text(json.dumps({"metadata": {"crreid": {"rows": ["ID"]}}}))
    assert opened(rows=["ID", "SR+ID"]).folder == usual
    assert opened().folder == usual
    for rows in ([], ["SR+ID+PS", "ID"]):
        published.write_text(json.dumps({"metadata": {"crreid": {"rows": rows}}}))
        assert "drafts" in opened(rows=["ID", "SR+ID"]).folder.parts
    published.write_text("damaged")
    assert "drafts" in opened(rows=["ID"]).folder.parts


def test_a_table_is_saved_as_it_is_shown():
    study = opened()
    table = pd.DataFrame({"rank-1": [45.04, 3]}, index=pd.Index(["ID", "SR+ID"], name="row"))
    data, metadata = study.table(table)._repr_mimebundle_()
    assert (study.folder / f"{ITEM}.csv").read_text() == "row,rank-1\nID,45.0\nSR+ID,3.0\n"
    assert metadata == {"crreid": {"file": f"{ITEM}.csv", "title": "Table II: the losses"}}
    assert "<table" in data["text/html"]
    assert "45.0" in data["text/plain"]
    _, metadata = study.table(table, "table2_noise", digits=3)._repr_mimebundle_()
    assert metadata["crreid"]["title"] == "table2 noise"
    assert "45.040" in (study.folder / "table2_noise.csv").read_text()


def figure():
    made, axes = plt.subplots(figsize=(2, 1))
    axes.plot([1, 2])
    return made


def test_a_figure_is_saved_and_always_the_same():
    study = opened()
    data, metadata = study.figure(figure(), "curve", "A curve")._repr_mimebundle_()
    assert data["image/png"] == (study.folder / "curve.png").read_bytes()
    assert metadata == {"crreid": {"file": "curve.png", "title": "A curve"}, "image/png": {"width": 208}}
    assert plt.get_fignums() == []
    assert study.figure(figure(), "curve", "A curve").data == data


def test_people_of_restricted_data_are_neither_published_nor_shown():
    study = opened()
    assert "image/png" in study.figure(figure(), "people", shows_people=True).data
    restricted = replace(study, dataset="mlr-market-1501")
    data, metadata = restricted.figure(figure(), "faces", shows_people=True)._repr_mimebundle_()
    assert metadata == {}
    assert "image/png" not in data
    assert "may not be published" in data["text/markdown"]
    private = study.workspace.runs_dir / "private" / "smoke" / "mlr-market-1501" / "faces.png"
    assert private.is_file()
    assert not (study.folder / "faces.png").exists()
    assert "image/png" in restricted.figure(figure(), "curve").data


def test_the_last_cell_checks_what_was_written():
    study = opened()
    with pytest.raises(AssertionError, match="wrote no table"):
        study.check()
    study.figure(figure(), "curve", "A curve")
    study.table(pd.DataFrame({"row": ["a"], "rank-1": [float("nan")]}))
    with pytest.raises(AssertionError, match="holds no number"):
        study.check()
    study.table(pd.DataFrame({"row": ["a"], "rank-1": [1.0]}))
    assert study.check().to_numpy().tolist() == [["curve.png", "A curve"], [f"{ITEM}.csv", "Table II: the losses"]]
    study.table(pd.DataFrame({"A": [], "B": []}), "table2_differences")  # of one row there are none
    assert len(study.check()) == 3
    (study.folder / "curve.png").write_bytes(b"")
    with pytest.raises(AssertionError, match=r"curve\.png is empty"):
        study.check()


def test_force_trains_each_run_again_once(monkeypatch):
    forgotten = []
    monkeypatch.setattr("crreid.study.session.forget", lambda runs, workspace: forgotten.append([*runs]))
    monkeypatch.setattr(
        "crreid.study.session.measure_all", lambda runs, workspace: Work({run.digest: run for run in runs})
    )
    study = opened(force=True)
    runs = study.runs(loss_ablation_rows)
    study.measure({"ID": runs["ID"]})
    assert study.measure(runs) == runs
    assert forgotten == [runs["ID"], [runs[row][0] for row in ROWS if row != "ID"]]


class Work:
    """What `measure_all` returns, as far as it is looked at."""

    def __init__(self, records, failed=None):
        self.records, self.failed = records, failed or {}


def test_the_first_error_is_raised_after_all_have_ended(monkeypatch):
    failed = {"a": InputError("no images"), "b": RuntimeError("later")}
    monkeypatch.setattr("crreid.study.session.measure_all", lambda runs, workspace: Work({}, failed))
    study = opened()
    with pytest.raises(InputError, match="no images"):
        study.measure(study.runs(loss_ablation_rows))
