import numpy as np
import pandas as pd
import pytest

from scripts.benchmark_tables.__main__ import main


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "tables").mkdir()
    random = np.random.default_rng(0)
    usage = random.normal(size=400)
    churn = np.where(usage + random.normal(size=400) > 0, "yes", "no")
    pd.DataFrame({"usage": usage, "churn": churn}).to_csv(tmp_path / "tables" / "mlc_churn.csv", index=False)
    return tmp_path


def test_a_net_and_a_rival_are_measured_once_and_shown(data_dir, capsys):
    out = data_dir / "out"
    words = [f"data_dir={data_dir}", "--tables", "mlc_churn", "--seeds", "1", "--out", str(out), "--models"]
    main([*words, "table", "HistGradientBoosting"])
    results = pd.read_csv(out / "results.csv").set_index("model")
    assert results.loc["table", "score"] == pytest.approx(results.loc["HistGradientBoosting", "score"], abs=0.15)
    assert "mlc_churn, auroc" in capsys.readouterr().out
    assert (out / "suite.png").is_file()
    main([*words, "table"])
    assert "seed 0, table" not in capsys.readouterr().out
    assert len(pd.read_csv(out / "results.csv")) == 2


def test_a_word_that_is_no_place_of_data_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["experiment=adult"])
    assert "data_dir=PATH" in capsys.readouterr().err
