"""The report of a Study in the cluster, out of its store onto this machine."""

from pathlib import Path

from xstilts.api.conditions import ConditionStatus
from xstilts.api.names import StudyCondition
from xstilts.cli.cluster_views import ClusterStudy
from xstilts.core.errors import UserError
from xstilts.store.port import ObjectStore

REPORT = "report.html"


def download(study: ClusterStudy, store: ObjectStore, folder: Path) -> list[Path]:
    """Every file of the report, report.html first. Raises UserError where there is none yet."""
    prefix = f"studies/{study.name}/report/"
    names = sorted((info.key.removeprefix(prefix) for info in store.list(prefix)), key=lambda name: name != REPORT)
    if not names:
        summary = study.condition(StudyCondition.SUCCEEDED)
        ended = summary is not None and summary.status is not ConditionStatus.UNKNOWN
        when = "although the study has ended" if ended else "yet: it is written when the study ends"
        raise UserError(f"{study.title}: no report in {store.uri}/{prefix} {when}; see xstilts status {study.name}")
    for name in names:
        store.download(f"{prefix}{name}", folder / name)
    return [folder / name for name in names]
