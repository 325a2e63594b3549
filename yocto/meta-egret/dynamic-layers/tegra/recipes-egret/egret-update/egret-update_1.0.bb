SUMMARY = "Slots of an egret appliance: trial, confirmation, health gate, way back"
DESCRIPTION = "Confirms to the firmware that a slot works as soon as egret is ready, and goes back to the other one if an update does not hold."
HOMEPAGE = "https://github.com/egret-vision/egret"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = " \
    file://10-egret-trial.conf \
    file://egret-health-gate.service \
    file://egret-slot \
    file://egret-slot-confirm.service \
"
S = "${UNPACKDIR}"

inherit systemd features_check
REQUIRED_DISTRO_FEATURES = "systemd"
COMPATIBLE_MACHINE = "(tegra)"

do_install() {
    install -D -m 0755 ${S}/egret-slot ${D}${bindir}/egret-slot
    install -d ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/egret-slot-confirm.service ${S}/egret-health-gate.service ${D}${systemd_system_unitdir}/
    # NVIDIA's own service would confirm every slot that comes as far as a prompt.
    install -D -m 0644 ${S}/10-egret-trial.conf ${D}${systemd_system_unitdir}/nv_update_verifier.service.d/10-egret-trial.conf
}

SYSTEMD_SERVICE:${PN} = "egret-slot-confirm.service egret-health-gate.service"
PACKAGE_ARCH = "${TEGRA_PKGARCH}"
FILES:${PN} += "${systemd_system_unitdir}"
RDEPENDS:${PN} = "curl efivar egret egret-base setup-nv-boot-control tegra-redundant-boot"
