/// Tests of the contract's own types, and the requester that tests of every target share.
@NullMarked
package io.ublkbridge.target;

import org.jspecify.annotations.NullMarked;
