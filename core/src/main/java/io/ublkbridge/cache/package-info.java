/// The block cache that may stand in front of a target: blocks in memory outside of the heap, one
/// fill for many requests, readahead, and a slower second level behind it.
///
/// [io.ublkbridge.cache.CachedTarget] is the way in. What belongs to a queue is confined to its
/// event loop; [io.ublkbridge.cache.BlockCache] is what the loops of one device share.
@NullMarked
package io.ublkbridge.cache;

import org.jspecify.annotations.NullMarked;
