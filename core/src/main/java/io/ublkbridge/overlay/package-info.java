/// Copy-on-write in front of a target that is only read: what is written goes to a local sparse
/// file, and nothing ever to the target.
///
/// [io.ublkbridge.overlay.OverlayTarget] is the decorator; [io.ublkbridge.overlay.OverlayFormat]
/// draws the file.
@NullMarked
package io.ublkbridge.overlay;

import org.jspecify.annotations.NullMarked;
