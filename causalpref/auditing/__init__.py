"""All checks of one preference data set, as one report to read, to print and to compute with."""

from causalpref.auditing._audit import audit, staged
from causalpref.auditing._baselines import baselines
from causalpref.auditing._result import Audit

__all__ = ["Audit", "audit", "baselines", "staged"]
