@NullMarked
package io.ublkbridge.overlay;

import org.jspecify.annotations.NullMarked;
