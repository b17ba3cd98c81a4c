/// Tests of S3 images, against an S3 server in the same process and a proxy that spoils its
/// answers.
@NullMarked
package io.ublkbridge.s3;

import org.jspecify.annotations.NullMarked;
