"""Which ops of TensorFlow a model may hold."""

from __future__ import annotations

from typing import Any

from .refusal import Refusal

# Ops by which a graph reads or writes files or calls Python: a model has no business with them. (The ones by which
# TensorFlow stores and restores the variables, MergeV2Checkpoints among them, are in every SavedModel.)
FORBIDDEN_OPS = {
    "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "PrintV2", "ReaderReadV2",
    "WholeFileReader", "WholeFileReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "TextLineReader",
    "TextLineReaderV2", "TFRecordReader", "TFRecordReaderV2", "LMDBReader", "IdentityReader", "IdentityReaderV2",
    "ReaderRead", "ReaderReadUpTo", "ReaderReadUpToV2", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3",
    "RpcCall", "RpcClient", "RpcServer", "Save", "SaveSlices", "LoadDataset", "LoadDatasetV2", "SaveDataset",
    "SaveDatasetV2", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "TextLineDataset",
    "TFRecordDataset", "TFRecordDatasetV2", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "SqlDataset",
    "CSVDataset", "CSVDatasetV2", "ExperimentalCSVDataset", "ExperimentalSqlDataset", "LMDBDataset",
    "ExperimentalLMDBDataset", "SnapshotDataset", "SnapshotDatasetV2", "CacheDataset", "CacheDatasetV2",
    "CreateSummaryFileWriter", "CreateSummaryDbWriter",
}  # fmt: skip


def refuse_ops(graph: Any) -> None:
    """Refuse a graph with an op that reads or writes files or runs Python code."""
    nodes = list(graph.node) + [node for function in graph.library.function for node in function.node_def]
    found = sorted({node.op for node in nodes} & FORBIDDEN_OPS)
    if found:
        raise Refusal(f"it reads or writes files or runs Python code ({', '.join(found)}), which edgec does not allow")
