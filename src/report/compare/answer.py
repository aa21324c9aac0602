"""What a comparison finds: the best setting, and how sure that is."""

import math
from collections.abc import Sequence

from markupsafe import Markup
from scipy.special import stdtrit

from src.core.run_dir import RunDir
from src.report.compare.settings import Comparison, Setting
from src.report.page import fill
from src.report.wording import cell, few_digits, metric_label

ERROR_RATE = 0.05  # the chance that any of the other settings is called worse though it is not
NO_BREAK = "\N{NO-BREAK SPACE}"
MAX_NAMED = 3  # settings or keys in a sentence; of more, their number is given
MAX_KEYS = 2  # by which a sentence names a setting; more are hard to read


def opening(found: Comparison) -> Markup:
    """The best setting and its score, how sure that is, and the command that repeats one of its runs."""
    best = found.settings[0]
    return fill(
        "compare/page.html.jinja",
        score=cell(best.mean(found.metric)),
        spread=few_digits(best.spread(found.metric)),
        metric=metric_label(found.metric),
        best=best.words(found.keys),
        goal="highest" if found.mode == "max" else "lowest",
        num_settings=len(found.settings),
        num_runs=len(found.runs),
        num_seeds=len(best.over_seeds(found.metric)),
        sentences=[verdict(found), *caveats(found)],
        command=RunDir(best.runs[0].folder).command(),
    )


def mean_and_spread(setting: Setting, name: str) -> str:
    """`0.9883 ± 0.0040`; the mean alone with one seed, nothing without a seed."""
    mean, spread = setting.mean(name), setting.spread(name)
    if math.isnan(mean):
        return ""
    return cell(mean) if math.isnan(spread) else f"{cell(mean)}{NO_BREAK}±{NO_BREAK}{few_digits(spread)}"


def verdict(found: Comparison) -> str:
    """Whether the first setting is surely the best one."""
    others = found.settings[1:]
    if not others:
        return "There is only one setting, so nothing to compare. The spread shows how much the seed changes the score."
    lead, margin = few_digits(lead_over(others[0], found)), chance_lead(others[0], found)
    if math.isinf(margin):
        return (
            f"Not sure: each setting has one seed. Its lead over the next setting is {lead}, which may be luck, as the "
            "effect of the seed is not known. Run the best settings again with seed=0,1,2."
        )
    equals = {
        rank: setting
        for rank, setting in enumerate(others, 2)
        if lead_over(setting, found) <= chance_lead(setting, found)
    }
    how = (
        f"Its lead over the next setting is {lead}; chance alone gives up to {few_digits(margin)} with these seeds "
        f"(t-test, the spread of all settings pooled, {ERROR_RATE:.0%} error for all comparisons together)."
    )
    if not equals:
        return f"Sure, as far as these seeds can tell. {how}"
    words = [
        f"number {rank}" + f" ({setting.words(found.keys)})" * (len(found.keys) <= MAX_KEYS)
        for rank, setting in equals.items()
    ]
    return f"Not sure: {listed(words)} may be as good. {how} Run these settings with more seeds, as in seed=0,1,2,3,4."


def lead_over(setting: Setting, found: Comparison) -> float:
    """How far the mean of the best setting is ahead."""
    return abs(found.settings[0].mean(found.metric) - setting.mean(found.metric))


def chance_lead(setting: Setting, found: Comparison) -> float:
    """The lead that chance alone gives the best of equally good settings, exceeded with a chance of ERROR_RATE.

    A t-test with the variance over seeds pooled from all settings, as each has few seeds: one that varies widely
    makes it more cautious. Bonferroni's correction for the number of other settings. Infinite if none has two seeds.
    """
    seeds = [each.over_seeds(found.metric) for each in found.settings]
    freedom = sum(len(scores) - 1 for scores in seeds)
    if not freedom:
        return math.inf
    variance = sum(((scores - scores.mean()) ** 2).sum() for scores in seeds) / freedom
    share = ERROR_RATE / 2 / (len(seeds) - 1)
    error = math.sqrt(variance * (1 / len(seeds[0]) + 1 / len(setting.over_seeds(found.metric))))
    return float(stdtrit(freedom, 1 - share)) * error


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def caveats(found: Comparison) -> list[str]:
    """What else to know before trusting the result."""
    sentences = []
    if any("datamodule" in (key, *others) for key, others in found.keys.items()):
        sentences.append("The runs use different data: their scores cannot be compared directly.")
    best = found.settings[0]
    if best.unscored:
        num_runs = len(best.unscored) + len(best.runs)
        sentences.append(f"{len(best.unscored)} of the best setting's {num_runs} runs lack a score.")
    for key, others in found.keys.items():
        if others:
            sentences.append(f"{listed(others)} always changes with {key}: the runs cannot tell which of them matters.")
    if found.incomparable:
        names = listed(sorted({run.metric[0] for run in found.incomparable}))
        count = len(found.incomparable)
        sentences.append(f"Only runs scored by {found.metric} are compared; left out: {count} scored by {names}.")
    return sentences
