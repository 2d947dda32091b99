"""What is a whole training? Phases, what ranks carry from one to the next, and how it goes on after a loss.

One phase after the other is played by either player; ``run_job`` decides what comes next. A loss, a leave or a join
ends a phase; a policy (edgesim.recovery) answers how the job goes on, and weights move by schedules of messages like
any other.
"""

from edgesim.job.commit import committed
from edgesim.job.held import Copy, Held, copies_of
from edgesim.job.host_costs import HostCosts
from edgesim.job.job import Job
from edgesim.job.job_metrics import JobMetrics, RecoveryMetrics, measure_job
from edgesim.job.job_trace import Activity, JobSpan, JobTrace, Resumption
from edgesim.job.kept_outputs import KeptOutputs, KeptPart, refilled_by, written_by
from edgesim.job.phase import Migration, Phase, Refill
from edgesim.job.player import JobPlayer, Played
from edgesim.job.recovering import Change, Recover, Recovery, Situation
from edgesim.job.running import run_job
from edgesim.job.safety import Heartbeat, Safety, checkpoint_version, sends_backups

__all__ = [
    "Activity",
    "Change",
    "Copy",
    "Heartbeat",
    "Held",
    "HostCosts",
    "Job",
    "JobMetrics",
    "JobPlayer",
    "JobSpan",
    "JobTrace",
    "KeptOutputs",
    "KeptPart",
    "Migration",
    "Phase",
    "Played",
    "Recover",
    "Recovery",
    "RecoveryMetrics",
    "Refill",
    "Resumption",
    "Safety",
    "Situation",
    "checkpoint_version",
    "committed",
    "copies_of",
    "measure_job",
    "refilled_by",
    "run_job",
    "sends_backups",
    "written_by",
]
