/// Disk images in object storage: `s3://bucket/key`.
@NullMarked
package io.ublkbridge.s3;

import org.jspecify.annotations.NullMarked;
