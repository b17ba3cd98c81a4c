package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.StructLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every field lies where the C compiler puts it: by numbers taken from the header of Linux 7.3,
/// and by the header that is installed here, where a C compiler is.
final class StructLayoutTest {
  private static final Path HEADER = Path.of("/usr/include/linux/ublk_cmd.h");

  /// A field of a struct: its path in our layout and in C, and its offset.
  record Field(StructLayout layout, String path, long offset) {
    String struct() {
      return layout.name().orElseThrow();
    }

    long ours() {
      PathElement[] elements =
          Stream.of(path.split("\\.", -1))
              .map(PathElement::groupElement)
              .toArray(PathElement[]::new);
      return layout.byteOffset(elements);
    }

    @Override
    public String toString() {
      return struct() + "." + path;
    }
  }

  static List<Field> fields() {
    return List.of(
        new Field(ControlCommand.LAYOUT, "dev_id", 0),
        new Field(ControlCommand.LAYOUT, "queue_id", 4),
        new Field(ControlCommand.LAYOUT, "len", 6),
        new Field(ControlCommand.LAYOUT, "addr", 8),
        new Field(ControlCommand.LAYOUT, "data", 16),
        new Field(ControlCommand.LAYOUT, "dev_path_len", 24),
        new Field(DeviceInfo.LAYOUT, "nr_hw_queues", 0),
        new Field(DeviceInfo.LAYOUT, "queue_depth", 2),
        new Field(DeviceInfo.LAYOUT, "state", 4),
        new Field(DeviceInfo.LAYOUT, "max_io_buf_bytes", 8),
        new Field(DeviceInfo.LAYOUT, "dev_id", 12),
        new Field(DeviceInfo.LAYOUT, "ublksrv_pid", 16),
        new Field(DeviceInfo.LAYOUT, "flags", 24),
        new Field(DeviceInfo.LAYOUT, "ublksrv_flags", 32),
        new Field(DeviceInfo.LAYOUT, "owner_uid", 40),
        new Field(IoDescriptor.LAYOUT, "op_flags", 0),
        new Field(IoDescriptor.LAYOUT, "nr_sectors", 4),
        new Field(IoDescriptor.LAYOUT, "start_sector", 8),
        new Field(IoDescriptor.LAYOUT, "addr", 16),
        new Field(IoCommand.LAYOUT, "q_id", 0),
        new Field(IoCommand.LAYOUT, "tag", 2),
        new Field(IoCommand.LAYOUT, "result", 4),
        new Field(IoCommand.LAYOUT, "addr", 8),
        new Field(UblkParams.LAYOUT, "len", 0),
        new Field(UblkParams.LAYOUT, "types", 4),
        new Field(UblkParams.LAYOUT, "basic.attrs", 8),
        new Field(UblkParams.LAYOUT, "basic.logical_bs_shift", 12),
        new Field(UblkParams.LAYOUT, "basic.physical_bs_shift", 13),
        new Field(UblkParams.LAYOUT, "basic.io_opt_shift", 14),
        new Field(UblkParams.LAYOUT, "basic.io_min_shift", 15),
        new Field(UblkParams.LAYOUT, "basic.max_sectors", 16),
        new Field(UblkParams.LAYOUT, "basic.chunk_sectors", 20),
        new Field(UblkParams.LAYOUT, "basic.dev_sectors", 24),
        new Field(UblkParams.LAYOUT, "basic.virt_boundary_mask", 32),
        new Field(UblkParams.LAYOUT, "discard.discard_alignment", 40),
        new Field(UblkParams.LAYOUT, "discard.discard_granularity", 44),
        new Field(UblkParams.LAYOUT, "discard.max_discard_sectors", 48),
        new Field(UblkParams.LAYOUT, "discard.max_write_zeroes_sectors", 52),
        new Field(UblkParams.LAYOUT, "discard.max_discard_segments", 56));
  }

  @ParameterizedTest
  @MethodSource("fields")
  void fieldLiesWhereTheKernelLooksForIt(Field field) {
    assertEquals(field.offset(), field.ours());
  }

  @Test
  void structsHaveTheKernelsSizes() {
    assertEquals(32, ControlCommand.LAYOUT.byteSize());
    assertEquals(64, DeviceInfo.LAYOUT.byteSize());
    assertEquals(24, IoDescriptor.LAYOUT.byteSize());
    assertEquals(16, IoCommand.LAYOUT.byteSize());
    assertEquals(60, UblkParams.LAYOUT.byteSize());
    assertEquals(120, ControlRing.PARAMS.byteSize());
    assertEquals(32, RingBuffers.LAYOUT.byteSize());
    assertEquals(4, RingBuffers.LAYOUT.byteOffset(groupElement("flags")));
    assertEquals(40, ControlRing.PARAMS.byteOffset(groupElement("sq")));
    assertEquals(80, ControlRing.PARAMS.byteOffset(groupElement("cq")));
    assertEquals(16, VsockSocket.ADDRESS.byteSize());
    assertEquals(4, VsockSocket.ADDRESS.byteOffset(groupElement("svm_port")));
    assertEquals(8, VsockSocket.ADDRESS.byteOffset(groupElement("svm_cid")));
    assertEquals(12, VsockSocket.ADDRESS.byteOffset(groupElement("svm_flags")));
    assertEquals(56, KernelTls.MESSAGE.byteSize());
    assertEquals(16, KernelTls.MESSAGE.byteOffset(groupElement("msg_iov")));
    assertEquals(24, KernelTls.MESSAGE.byteOffset(groupElement("msg_iovlen")));
    assertEquals(32, KernelTls.MESSAGE.byteOffset(groupElement("msg_control")));
    assertEquals(40, KernelTls.MESSAGE.byteOffset(groupElement("msg_controllen")));
    assertEquals(24, KernelTls.CONTROL.byteSize());
    assertEquals(16, KernelTls.CONTROL.byteOffset(groupElement("data")));
  }

  @Test
  void fieldsLieWhereTheInstalledHeaderPutsThem(@TempDir Path dir) throws Exception {
    assumeTrue(Files.exists(HEADER), "no " + HEADER + " here");
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/cc")), "no C compiler here");
    String header = Files.readString(HEADER);
    Map<String, Long> wanted = new TreeMap<>();
    StringBuilder program =
        new StringBuilder(
            """
            #include <stdio.h>
            #include <stddef.h>
            #include <linux/types.h>
            #include <linux/ublk_cmd.h>
            int main(void) {
            """);
    for (Field field : fields()) {
      String last = field.path().substring(field.path().lastIndexOf('.') + 1);
      // An older header lacks what came later; the numbers above stand for it.
      if (header.matches("(?s).*\\b" + last + "\\b.*")) {
        wanted.put(field.toString(), field.ours());
        program.append(
            "printf(\"%s %%zu\\n\", offsetof(struct %s, %s));\n"
                .formatted(field, field.struct(), field.path()));
      }
    }
    program.append("return 0; }\n");
    assertEquals(wanted, compiledOffsets(dir, program.toString()));
  }

  private static Map<String, Long> compiledOffsets(Path dir, String program) throws Exception {
    Files.writeString(dir.resolve("offsets.c"), program);
    output(dir, "cc", "-o", "offsets", "offsets.c");
    Map<String, Long> offsets = new TreeMap<>();
    for (String line : output(dir, dir.resolve("offsets").toString()).lines().toList()) {
      int space = line.indexOf(' ');
      offsets.put(line.substring(0, space), Long.parseLong(line.substring(space + 1)));
    }
    return offsets;
  }

  private static String output(Path dir, String... command)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command).directory(dir.toFile()).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
    return output;
  }
}
