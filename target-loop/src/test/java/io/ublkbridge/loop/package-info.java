/// Tests of the local targets.
@NullMarked
package io.ublkbridge.loop;

import org.jspecify.annotations.NullMarked;
