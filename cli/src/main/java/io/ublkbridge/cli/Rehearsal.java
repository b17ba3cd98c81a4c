package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Posix;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Enumeration;
import java.util.List;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/// Loads the classes that the command and a server use, so that the build can archive them. Changes
/// nothing on the machine.
final class Rehearsal {
  private static final String OURS = "io/ublkbridge/";
  private static final String CLASS = ".class";

  private Rehearsal() {}

  /// Loads them.
  ///
  /// @param arguments the distribution's directory
  public static void main(String[] arguments) throws IOException, CommandFailure {
    Host nowhere = new Host(Path.of("/nonexistent"));
    Answer unheard = new Answer(new PrintWriter(Writer.nullWriter()), silentErrors());
    for (String line :
        List.of(
            "list",
            "list --json",
            "status 0",
            "detach 0",
            "recover 0",
            "upgrade 0",
            "resize 0",
            "attach memory:1M",
            "--help")) {
      new CommandRunner(unheard, nowhere).run(List.of(line.split(" ", -1)));
    }
    new TargetInfo("memory:1M", Map.of(), Duration.ofSeconds(9))
        .show(new InspectionReport("memory:1M", unheard)::text);
    ServerRequest request =
        new ServerRequest(
            "memory:1M",
            "m",
            DeviceOptions.defaults(),
            Map.of(),
            Instant.EPOCH,
            null,
            "",
            ServerRequest.Task.ATTACH);
    ServerRequest.ofJson(request.toJson());
    ServerReport.ofJson(new ServerReport.Ready(0, Duration.ZERO).toJson());
    Posix.close(Posix.open("/dev/null", Posix.O_RDWR));
    Posix.setIoFlusher();
    Tool.run(Path.of("/"), "true");
    loadOurs(Path.of(arguments[0], "lib"));
  }

  private static PrintWriter silentErrors() {
    return new PrintWriter(Writer.nullWriter());
  }

  /// What the lines above do not reach is loaded by name.
  private static void loadOurs(Path libraries) throws IOException {
    try (DirectoryStream<Path> jars = Files.newDirectoryStream(libraries, "*.jar")) {
      for (Path path : jars) {
        try (JarFile jar = new JarFile(path.toFile())) {
          for (Enumeration<JarEntry> e = jar.entries(); e.hasMoreElements(); ) {
            String name = e.nextElement().getName();
            if (name.startsWith(OURS) && name.endsWith(CLASS) && !name.contains("-info")) {
              load(name.substring(0, name.length() - CLASS.length()).replace('/', '.'));
            }
          }
        }
      }
    }
  }

  private static void load(String name) throws IOException {
    try {
      Class.forName(name, false, Rehearsal.class.getClassLoader());
    } catch (ClassNotFoundException e) {
      throw new IOException("the jar lies about " + name, e);
    }
  }
}
