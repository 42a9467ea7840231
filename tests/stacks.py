"""Which of the two stacks the tests run on."""

import tensorflow as tf

KERAS_3 = hasattr(tf.keras, "ops")
