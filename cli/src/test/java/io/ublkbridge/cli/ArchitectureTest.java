package io.ublkbridge.cli;

import static com.tngtech.archunit.library.Architectures.layeredArchitecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.syntax.ArchRuleDefinition;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/// The arrows between packages, as `docs/architecture.md` draws them.
final class ArchitectureTest {
  private static JavaClasses classes = new ClassFileImporter().importClasses();

  @BeforeAll
  static void importProduct() {
    classes =
        new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("io.ublkbridge");
  }

  @Test
  void arrowsPointOneWay() {
    layeredArchitecture()
        .consideringOnlyDependenciesInAnyPackage("io.ublkbridge..")
        .layer("contract")
        .definedBy("io.ublkbridge.target")
        .layer("kernel")
        .definedBy("io.ublkbridge.kernel")
        .layer("queue")
        .definedBy("io.ublkbridge.queue")
        .layer("cache")
        .definedBy("io.ublkbridge.cache")
        .layer("overlay")
        .definedBy("io.ublkbridge.overlay")
        .layer("device")
        .definedBy("io.ublkbridge.device")
        .layer("nbd")
        .definedBy("io.ublkbridge.nbd")
        .layer("loop")
        .definedBy("io.ublkbridge.loop")
        .layer("s3")
        .definedBy("io.ublkbridge.s3")
        .layer("cli")
        .definedBy("io.ublkbridge.cli")
        .whereLayer("contract")
        .mayNotAccessAnyLayer()
        .whereLayer("kernel")
        .mayNotAccessAnyLayer()
        .whereLayer("queue")
        .mayOnlyAccessLayers("kernel", "contract")
        .whereLayer("cache")
        .mayOnlyAccessLayers("kernel", "contract")
        .whereLayer("overlay")
        .mayOnlyAccessLayers("kernel", "contract")
        .whereLayer("device")
        .mayOnlyAccessLayers("cache", "overlay", "queue", "kernel", "contract")
        .whereLayer("nbd")
        .mayOnlyAccessLayers("contract", "kernel")
        .whereLayer("loop")
        .mayOnlyAccessLayers("contract", "kernel")
        .whereLayer("s3")
        .mayOnlyAccessLayers("contract", "kernel")
        .whereLayer("cli")
        .mayNotBeAccessedByAnyLayer()
        .check(classes);
  }

  @Test
  void onlyTheKernelPackageCallsNativeCode() {
    ArchRuleDefinition.noClasses()
        .that()
        .resideOutsideOfPackage("io.ublkbridge.kernel")
        .should()
        .dependOnClassesThat()
        .haveFullyQualifiedName("java.lang.foreign.Linker")
        .because("a wrong signature crashes the process: they all stand in Posix")
        .check(classes);
  }

  @Test
  void cliNamesNoTarget() {
    ArchRuleDefinition.noClasses()
        .that()
        .resideInAPackage("io.ublkbridge.cli")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage("io.ublkbridge.nbd", "io.ublkbridge.loop", "io.ublkbridge.s3")
        .because("targets are found by their URI's scheme")
        .check(classes);
  }
}
