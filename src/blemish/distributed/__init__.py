"""Pictures judged by many processes: a callable for any engine, Parquet results, Ray."""

from blemish.distributed.judge import ArrowJudge, Judge

__all__ = ["ArrowJudge", "Judge"]
