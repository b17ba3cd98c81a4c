/// The queue loop against a simulated kernel and faulty targets.
@NullMarked
package io.ublkbridge.queue;

import org.jspecify.annotations.NullMarked;
