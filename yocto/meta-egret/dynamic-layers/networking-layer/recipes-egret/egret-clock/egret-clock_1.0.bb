SUMMARY = "chrony as an egret appliance runs it"
DESCRIPTION = "The clock's own configuration, its state on the data partition, and time servers that DHCP names."
HOMEPAGE = "https://github.com/egret-vision/egret"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = " \
    file://10-egret.conf \
    file://chrony.conf \
    file://egret-time-servers \
    file://egret-time-servers.path \
    file://egret-time-servers.service \
    file://pool.sources \
    file://var-lib-chrony.mount \
"
S = "${UNPACKDIR}"

inherit allarch systemd features_check
REQUIRED_DISTRO_FEATURES = "systemd"

do_install() {
    install -D -m 0644 ${S}/chrony.conf ${D}${datadir}/egret/chrony.conf
    install -D -m 0644 ${S}/pool.sources ${D}${datadir}/egret/time/pool.sources
    install -D -m 0644 ${S}/10-egret.conf ${D}${systemd_system_unitdir}/chronyd.service.d/10-egret.conf
    install -m 0644 ${S}/egret-time-servers.path ${S}/egret-time-servers.service ${S}/var-lib-chrony.mount ${D}${systemd_system_unitdir}/
    install -D -m 0755 ${S}/egret-time-servers ${D}${bindir}/egret-time-servers
}

SYSTEMD_SERVICE:${PN} = "egret-time-servers.path egret-time-servers.service var-lib-chrony.mount"
FILES:${PN} += "${datadir}/egret ${systemd_system_unitdir}"
RDEPENDS:${PN} = "chrony chronyc egret-base"
