"""Every pass by name, but those of `edgec.compress`, which the driver adds: passes know nothing of compression."""

from __future__ import annotations

from edgec.passes.canonicalize.canonicalize_mean_pool import CanonicalizeMeanPool
from edgec.passes.canonicalize.canonicalize_movement import CanonicalizeMovement
from edgec.passes.canonicalize.canonicalize_reshape import CanonicalizeReshape
from edgec.passes.canonicalize.convert_uint8 import ConvertUint8ToInt8
from edgec.passes.canonicalize.eliminate_common_subexpressions import EliminateCommonSubexpressions
from edgec.passes.canonicalize.eliminate_dead_code import EliminateDeadCode
from edgec.passes.canonicalize.eliminate_identity import EliminateIdentities
from edgec.passes.canonicalize.expand_sparse import ExpandSparse
from edgec.passes.canonicalize.fix_batch import FixBatch
from edgec.passes.canonicalize.fold_constants import FoldConstants
from edgec.passes.canonicalize.set_list_entry import SetListEntry
from edgec.passes.channels.route_channels import RouteChannels
from edgec.passes.fuse.canonicalize_activation import CanonicalizeActivation
from edgec.passes.fuse.canonicalize_fully_connected import CanonicalizeFullyConnected
from edgec.passes.fuse.crop_window import CropBeforeWindows
from edgec.passes.fuse.fold_mul_add_into_weights import FoldMulAddIntoWeights
from edgec.passes.fuse.fuse_activation import FuseActivations
from edgec.passes.fuse.fuse_mul_add_into_depthwise import FuseMulAdd
from edgec.passes.fuse.fuse_pad_into_conv import FusePadsIntoWindows
from edgec.passes.layout.move_transposes import MoveTransposes
from edgec.passes.legalize.legalize import Legalize
from edgec.passes.legalize.replace_float_ops import ReplaceFloatOps
from edgec.passes.registry import PassRegistry

PASSES = PassRegistry(
    (
        ExpandSparse,
        ConvertUint8ToInt8,
        FixBatch,
        FoldConstants,
        EliminateDeadCode,
        EliminateIdentities,
        EliminateCommonSubexpressions,
        CanonicalizeReshape,
        CanonicalizeMovement,
        SetListEntry,
        MoveTransposes,
        CanonicalizeMeanPool,
        CanonicalizeActivation,
        CanonicalizeFullyConnected,
        CropBeforeWindows,
        FoldMulAddIntoWeights,
        FuseMulAdd,
        FusePadsIntoWindows,
        FuseActivations,
        RouteChannels,
        ReplaceFloatOps,
        Legalize,
    )
)
