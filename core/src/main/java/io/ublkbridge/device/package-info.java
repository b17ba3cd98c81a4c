/// A device from ADD_DEV to DEL_DEV: what the kernel is told about a target, the event loops of its
/// queues, and the order in which all of it starts and ends.
@NullMarked
package io.ublkbridge.device;

import org.jspecify.annotations.NullMarked;
