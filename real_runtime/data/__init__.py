"""What do the ranks learn from? Small real data, drawn alike by every rank."""

from real_runtime.data.spec import BYTE_VOCABULARY, DataSpec, known_reads, refuse_other_data

__all__ = ["BYTE_VOCABULARY", "DataSpec", "known_reads", "refuse_other_data"]
