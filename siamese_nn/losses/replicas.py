"""Under `tf.distribute`: the whole batch, of which each replica has a share."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def replica_context() -> tf.distribute.ReplicaContext | None:
    """Returns the context of this replica where there are several, else `None`."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def whole_batch(*shares: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns labels and embeddings of the whole batch, for those of this replica's share.

    The gradient of the gathering gives each embedding what all replicas learn of it.
    """
    context = replica_context()
    if context is None:
        return shares
    return tuple(context.all_gather(tf.convert_to_tensor(share), axis=0) for share in shares)


def in_whole_batch(
    values: Callable[..., tf.Tensor], y_true: tf.Tensor, y_pred: tf.Tensor, *options: Any
) -> tf.Tensor:
    """Returns the loss of each photo of this replica's share, among the photos of all shares.

    Args:
        values: from labels, embeddings and options to the loss of each photo of a batch.
        y_true: the labels of the share.
        y_pred: its embeddings, `(share, embedding_size)`.
        options: of `values`.

    Returns:
        `(share,)`.
    """
    context = replica_context()
    if context is None:
        return values(y_true, y_pred, *options)
    share = tf.shape(y_pred)[:1]
    shares = context.all_gather(share, axis=0)
    first = tf.reduce_sum(shares[: context.replica_id_in_sync_group])
    return values(*whole_batch(y_true, y_pred), *options)[first : first + share[0]]
