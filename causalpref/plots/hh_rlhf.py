"""The figures of the HH-RLHF chapters."""

from __future__ import annotations

import altair as alt
import pandas as pd

from causalpref.plots._style import COLOURS, _SHAPES, _scale, _title

__all__ = ["accuracy_by_rho", "length_by_objective", "who_asked"]


def length_by_objective(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """P(the longer response is preferred) by prompt type and objective, with 95 % intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.experiments.length_rates`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["helpful", "harmless"]
    cells = "; ".join(f"{r.prompts} prompts judged for being {r.objective} {r.rate:.2f} "
                      f"({r.low:.2f} to {r.high:.2f})" for r in table.itertuples())
    picked = alt.selection_point(fields=["objective"], bind="legend")
    base = alt.Chart(table).encode(
        y=alt.Y("prompts:N", title="type of prompt", sort=names),
        yOffset=alt.YOffset("objective:N", sort=names),
        color=alt.Color("objective:N", title="judged for being", scale=_scale(names, COLOURS)),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.15)),
        tooltip=["prompts", "objective", alt.Tooltip("rate:Q", format=".3f"),
                 alt.Tooltip("low:Q", format=".3f"), alt.Tooltip("high:Q", format=".3f"), "pairs"])
    x, title = alt.Scale(domain=[0.35, 0.75]), "P(the longer response is preferred)"
    coin = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(x=alt.X("x:Q", scale=x, title=title))
    return alt.layer(
        coin, base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=x), x2="high:Q"),
        base.mark_point(size=110, filled=True, opacity=1).encode(
            x=alt.X("rate:Q", scale=x, title=title), shape=alt.Shape("objective:N", title="judged for being",
                                 scale=_scale(names, _SHAPES))),
    ).add_params(picked).properties(
        width=430, height=170, title=_title("How often the longer response is preferred",
                                            table, source),
        description=f"Dots with 95 % intervals, probability that the longer response is "
                    f"preferred: {cells}. The dashed line is a coin toss.")


def accuracy_by_rho(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """Test accuracy of the three reward models over rho (figure 6), with standard errors.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``rho``, ``model``, ``split``, ``mean``, ``se``, ``source``, accuracies
        in [0, 1]; see :func:`causalpref.rewards.summarise`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["base", "multihead", "adversarial"]
    t = table.assign(percent=100 * table["mean"],
                     low=100 * (table["mean"] - table["se"]),
                     high=100 * (table["mean"] + table["se"]))
    ends = t[t.rho.isin([t.rho.min(), t.rho.max()])]
    cells = "; ".join(f"{r.model} on {r.split} pairs at rho {r.rho:g} {r.percent:.1f} %"
                      for r in ends.itertuples())
    shown = alt.param(name="pairs", value="both", bind=alt.binding_radio(
        options=["both", "consistent", "inconsistent"], name="pairs shown: "))
    picked = alt.selection_point(fields=["model"], bind="legend")
    base = alt.Chart(t).transform_filter(
        "pairs == 'both' || pairs == datum.split").encode(
        x=alt.X("rho:Q", title="ρ = P(type(X) = C) in training",
                scale=alt.Scale(domain=[t.rho.min() - 0.02, t.rho.max() + 0.02])),
        color=alt.Color("model:N", title="model", scale=_scale(names, COLOURS)),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.12)),
        tooltip=["model", "split", "rho", alt.Tooltip("percent:Q", format=".1f", title="accuracy, %"),
                 alt.Tooltip("low:Q", format=".1f"), alt.Tooltip("high:Q", format=".1f")])
    y = alt.Y("percent:Q", title="test accuracy, %", scale=alt.Scale(zero=False))
    dash = alt.StrokeDash("split:N", title="test pairs", scale=alt.Scale(
        domain=["consistent", "inconsistent"], range=[[1, 0], [6, 4]]))
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(
            y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(size=60, filled=True).encode(
            y=y, shape=alt.Shape("model:N", title="model", scale=_scale(names, _SHAPES))),
    ).add_params(shown, picked).properties(
        width=430, height=280, title=_title("Accuracy on held-out pairs", table, source),
        description=f"Lines, test accuracy with standard errors over seeds: {cells}.")


def who_asked(table: pd.DataFrame, *, source: str | None = None) -> alt.LayerChart:
    """What an analyst who ignores C would say of length, as rho moves from 0.5 to 1.

    With equally many pairs for each objective, a share rho of the pairs on either type of
    prompt is judged under the objective that matches the type, so the pooled rate is
    rho times the matching rate plus 1 - rho times the other.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`causalpref.experiments.length_rates`.
    source : str, optional
        What the data are. Default: the column ``source``.
    """
    names = ["helpful", "harmless"]
    rate = table.set_index(["prompts", "objective"]).rate
    wide = pd.DataFrame([{"prompts": p, "matching": rate[p, p],
                          "other": rate[p, names[1 - names.index(p)]]} for p in names])
    rho = alt.param(name="rho", value=1.0, bind=alt.binding_range(
        min=0.5, max=1.0, step=0.01, name="ρ, how often people ask what they judge for: "))
    x = alt.Scale(domain=[0.35, 0.75])
    title = "P(the longer response is preferred)"
    y = alt.Y("prompts:N", title="type of prompt", sort=names)
    coin = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(
        strokeDash=[4, 4], color="#858585").encode(x=alt.X("x:Q", scale=x, title=title))
    truth = alt.Chart(table).mark_tick(thickness=3, size=40, opacity=1).encode(
        x=alt.X("rate:Q", scale=x), y=y,
        color=alt.Color("objective:N", title="judged for being", scale=_scale(names, COLOURS)),
        tooltip=["prompts", "objective", alt.Tooltip("rate:Q", format=".3f")])
    pooled = alt.Chart(wide).transform_calculate(
        pooled="rho * datum.matching + (1 - rho) * datum.other",
        label="format(datum.pooled, '.2f')").encode(
        y=y, x=alt.X("pooled:Q", scale=x, title=title))
    return alt.layer(
        coin, truth, pooled.mark_point(size=300, strokeWidth=3, opacity=1, color="#858585"),
        pooled.mark_text(dy=-28, fontSize=13, fontWeight="bold").encode(text="label:N"),
    ).add_params(rho).properties(
        width=430, height=190,
        title=_title("What you would conclude if you did not know who asked", table, source),
        description="Two rows, helpful and harmless prompts. Ticks: probability that the longer "
                    "response is preferred when judged for helpfulness "
                    f"({rate['helpful', 'helpful']:.2f} and {rate['harmless', 'helpful']:.2f}) "
                    "and for harmlessness "
                    f"({rate['helpful', 'harmless']:.2f} and {rate['harmless', 'harmless']:.2f}). "
                    "A slider for rho moves the pooled rate from the tick of the matching "
                    "objective at rho 1 to halfway between the two ticks at rho 0.5.")
