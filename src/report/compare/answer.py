"""What a comparison comes to: the best setting, and how sure that is."""

import math
from collections.abc import Sequence

from markupsafe import Markup
from scipy.special import stdtrit

from src.report.compare.settings import Comparison, Setting
from src.report.curves import in_words
from src.report.page import cell, fill

CHANCE = 0.05  # that any of the other settings is called worse though it is not
NO_BREAK = "\N{NO-BREAK SPACE}"
NAMED = 3  # settings or keys in a sentence; of more their number is given
FEW = 2  # keys that a setting is named by in a sentence; by more it is hard to read


def opening(found: Comparison) -> Markup:
    """The best setting and its score, how sure that is, and the command that repeats one of its runs."""
    best = found.settings[0]
    return fill(
        "compare/page.html.jinja",
        score=cell(best.mean(found.metric)),
        spread=few_digits(best.spread(found.metric)),
        metric=metric_in_words(found.metric),
        best=best.words(found.keys),
        goal="highest" if found.mode == "max" else "lowest",
        num_settings=len(found.settings),
        num_runs=len(found.runs),
        num_seeds=len(best.over_seeds(found.metric)),
        said=[verdict(found), *warnings(found)],
        command=best.runs[0].command,
    )


def mean_and_spread(setting: Setting, name: str) -> str:
    """`0.9883 ± 0.0040`; the mean alone with one seed, nothing without."""
    mean, spread = setting.mean(name), setting.spread(name)
    if math.isnan(mean):
        return ""
    return cell(mean) if math.isnan(spread) else f"{cell(mean)}{NO_BREAK}±{NO_BREAK}{few_digits(spread)}"


def few_digits(number: float) -> str:
    """A difference or a spread, with two digits that count."""
    return f"{number:#.2g}" if 0 < number < 10 else f"{number:.0f}"


def metric_in_words(name: str) -> str:
    """Accuracy, validation for val/accuracy."""
    split, _, score = name.rpartition("/")
    return f"{in_words(score)}, {'validation' if split == 'val' else split}"


def verdict(found: Comparison) -> str:
    """In plain words how sure it is that the first setting is the best one."""
    others = found.settings[1:]
    if not others:
        return "There is one setting, so nothing to compare it with: the spread says how far the seed alone moves it."
    lead, margin = few_digits(lead_over(others[0], found)), chance_lead(others[0], found)
    if math.isinf(margin):
        return (
            "Not sure: each setting has one seed. How far the seed alone moves the score is not known, so its lead of "
            f"{lead} over the next may be luck. Run the best few again with seed=0,1,2."
        )
    equals = {
        rank: setting
        for rank, setting in enumerate(others, 2)
        if lead_over(setting, found) <= chance_lead(setting, found)
    }
    how = f"chance alone can give {few_digits(margin)} with these seeds (t-test with the spread of all settings"
    how += f" pooled, {CHANCE:.0%} for all comparisons together)"
    if not equals:
        return f"Sure, as far as these seeds can tell: its lead over the next is {lead}; {how}."
    words = [
        f"number {rank}" + f" ({setting.words(found.keys)})" * (len(found.keys) <= FEW)
        for rank, setting in equals.items()
    ]
    return (
        f"Not sure: {listed(words)} may be as good. Its lead over the next is {lead}; {how}. "
        "Run these settings with more seeds, as in seed=0,1,2,3,4."
    )


def lead_over(setting: Setting, found: Comparison) -> float:
    """How far the mean of the best setting is ahead."""
    return abs(found.settings[0].mean(found.metric) - setting.mean(found.metric))


def chance_lead(setting: Setting, found: Comparison) -> float:
    """The lead that the best setting of equally good ones has over another by chance, all but CHANCE of the time.

    A t-test with the variance over seeds pooled from all settings, since each has few seeds: one that varies widely
    makes it more cautious. Bonferroni's correction for the number of other settings. Infinite if none has two seeds.
    """
    seeds = [each.over_seeds(found.metric) for each in found.settings]
    freedom = sum(len(scores) - 1 for scores in seeds)
    if not freedom:
        return math.inf
    variance = sum(((scores - scores.mean()) ** 2).sum() for scores in seeds) / freedom
    share = CHANCE / 2 / (len(seeds) - 1)
    error = math.sqrt(variance * (1 / len(seeds[0]) + 1 / len(setting.over_seeds(found.metric))))
    return float(stdtrit(freedom, 1 - share)) * error


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def warnings(found: Comparison) -> list[str]:
    """What else to know before believing it."""
    said = []
    if any("datamodule" in (key, *others) for key, others in found.keys.items()):
        said.append("The runs have different data; scores on different data say little about one another.")
    failed = found.settings[0].others
    if failed:
        said.append(
            f"Of the best setting's {len(failed) + len(found.settings[0].runs)} runs {len(failed)} lack a score."
        )
    for key, others in found.keys.items():
        if others:
            said.append(f"With {key} always changes {listed(others)}: which of them matters cannot be told.")
    if found.incomparable:
        names = listed(sorted({run.metric[0] for run in found.incomparable}))
        said.append(
            f"Only runs scored by {found.metric} are compared; {len(found.incomparable)} are scored by {names}."
        )
    return said
