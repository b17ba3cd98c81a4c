/// Tests of the block cache.
@NullMarked
package io.ublkbridge.cache;

import org.jspecify.annotations.NullMarked;
