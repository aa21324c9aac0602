import os

from scripts.shared.processes import elsewhere, medians_of_turns


def test_a_function_is_called_in_a_process_of_its_own():
    assert elsewhere(os.getpid) not in (os.getpid(), elsewhere(os.getpid))


def here(function, *arguments):
    return function(*arguments)


def test_variants_take_turns_and_the_median_of_each_quantity_counts(capsys):
    speeds = {"ours": iter([9000.0, 1.0, 5.0]), "plain": iter([2.0, 4.0, 3.0])}
    order = []

    def measure(name):
        order.append(name)
        speed = next(speeds[name])
        return {"rows/s": speed, "peak_mb": 2 * speed}

    medians = medians_of_turns(["ours", "plain"], measure, repeats=3, run=here)
    assert order == ["ours", "plain"] * 3
    assert medians == {"rows/s": {"ours": 5.0, "plain": 3.0}, "peak_mb": {"ours": 10.0, "plain": 6.0}}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "turn 0: ours 9,000.0 rows/s, plain 2.0 rows/s"
    assert len(lines) == 3
