/// Tests of the NBD client, against servers written for them; no other software is needed.
@NullMarked
package io.ublkbridge.nbd;

import org.jspecify.annotations.NullMarked;
