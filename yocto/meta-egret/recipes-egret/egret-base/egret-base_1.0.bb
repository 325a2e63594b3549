SUMMARY = "What makes a board an unattended appliance"
DESCRIPTION = "The data partition and what lives on it, the hardware watchdog, and who may log in."
HOMEPAGE = "https://github.com/egret-vision/egret"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = " \
    file://50-egret-data.conf \
    file://data-folders.conf \
    file://data.mount \
    file://egret-data.service \
    file://journald.conf \
    file://sshd.conf \
    file://var-cache-egret.mount \
    file://var-lib-egret.mount \
    file://var-lib-systemd.mount \
    file://watchdog.conf \
"
S = "${UNPACKDIR}"

inherit allarch systemd features_check
REQUIRED_DISTRO_FEATURES = "systemd"

# Public keys that may log in before anything was provisioned, and when the data partition is gone: one file, or none.
EGRET_AUTHORIZED_KEYS ??= ""

do_install() {
    install -d ${D}${systemd_system_unitdir} ${D}/data
    install -m 0644 ${S}/data.mount ${S}/egret-data.service ${S}/var-cache-egret.mount ${S}/var-lib-egret.mount \
        ${S}/var-lib-systemd.mount ${D}${systemd_system_unitdir}/
    install -D -m 0644 ${S}/50-egret-data.conf ${D}${nonarch_libdir}/repart.d/50-egret-data.conf
    install -D -m 0644 ${S}/data-folders.conf ${D}${datadir}/egret/data-folders.conf
    install -D -m 0644 ${S}/watchdog.conf ${D}${nonarch_libdir}/systemd/system.conf.d/10-egret-watchdog.conf
    install -D -m 0644 ${S}/journald.conf ${D}${nonarch_libdir}/systemd/journald.conf.d/10-egret.conf
    install -D -m 0644 ${S}/sshd.conf ${D}${sysconfdir}/ssh/sshd_config.d/10-egret.conf
    install -d -m 0755 ${D}${datadir}/egret/ssh
    if [ -n "${EGRET_AUTHORIZED_KEYS}" ]; then
        install -m 0644 "${EGRET_AUTHORIZED_KEYS}" ${D}${datadir}/egret/ssh/root
    fi
}
do_install[file-checksums] += "${@d.getVar('EGRET_AUTHORIZED_KEYS') and d.getVar('EGRET_AUTHORIZED_KEYS') + ':True'}"

SYSTEMD_SERVICE:${PN} = "data.mount egret-data.service var-cache-egret.mount var-lib-egret.mount var-lib-systemd.mount"
FILES:${PN} += "/data ${nonarch_libdir} ${systemd_system_unitdir} ${datadir}/egret"
RDEPENDS:${PN} = "e2fsprogs-e2fsck e2fsprogs-mke2fs systemd volatile-binds"
