SUMMARY = "First-boot provisioning of an egret appliance"
DESCRIPTION = "Device name, configuration, credentials and SSH keys from a USB stick or a signed folder, all of it or nothing."
HOMEPAGE = "https://github.com/egret-vision/egret"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = " \
    file://60-egret-provision.rules \
    file://egret-provision \
    file://egret-provision.service \
    file://egret-provision@.service \
"
S = "${UNPACKDIR}"

inherit allarch systemd features_check
REQUIRED_DISTRO_FEATURES = "systemd"

# Who may sign what provisions a device, as ssh-keygen(1) reads it (ALLOWED SIGNERS), principal `egret-provision`: one file. Without one
# the first stick is taken unsigned, and says itself who may sign the next.
EGRET_PROVISION_SIGNERS ??= ""

do_install() {
    install -D -m 0755 ${S}/egret-provision ${D}${bindir}/egret-provision
    install -d ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/egret-provision.service ${S}/egret-provision@.service ${D}${systemd_system_unitdir}/
    install -D -m 0644 ${S}/60-egret-provision.rules ${D}${nonarch_base_libdir}/udev/rules.d/60-egret-provision.rules
    if [ -n "${EGRET_PROVISION_SIGNERS}" ]; then
        install -D -m 0644 "${EGRET_PROVISION_SIGNERS}" ${D}${datadir}/egret/provision/allowed_signers
    fi
}
do_install[file-checksums] += "${@d.getVar('EGRET_PROVISION_SIGNERS') and d.getVar('EGRET_PROVISION_SIGNERS') + ':True'}"

SYSTEMD_SERVICE:${PN} = "egret-provision.service"
FILES:${PN} += "${systemd_system_unitdir} ${nonarch_base_libdir}/udev ${datadir}/egret"
RDEPENDS:${PN} = "egret egret-base openssh-keygen"
