/// The queue loop: takes requests from the kernel, hands them to a target, commits what comes back.
///
/// One [io.ublkbridge.queue.UblkQueue] is confined to one event loop, with its slots and its target
/// queue: no locks, no hand-offs, nothing allocated per request.
@NullMarked
package io.ublkbridge.queue;

import org.jspecify.annotations.NullMarked;
