SUMMARY = "How an egret appliance takes updates"
DESCRIPTION = "swupdate's configuration: into which slot, signed by whom, and what is asked before anything is written."
HOMEPAGE = "https://github.com/egret-vision/egret"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = " \
    file://10-egret-private.conf \
    file://20-egret-slot \
    file://swupdate.cfg \
"
S = "${UNPACKDIR}"

COMPATIBLE_MACHINE = "(tegra)"

# The authority that the certificate of a bundle's signature has to come from: a PEM file.
EGRET_UPDATE_CA ??= ""
python () {
    if not d.getVar("EGRET_UPDATE_CA"):
        raise bb.parse.SkipRecipe("set EGRET_UPDATE_CA to the PEM file of the authority that signs updates (docs/updates.md)")
}

do_install() {
    install -d ${D}${sysconfdir}
    install -m 0644 ${S}/swupdate.cfg ${D}${sysconfdir}/swupdate.cfg
    echo "${MACHINE} 1.0" > ${D}${sysconfdir}/hwrevision
    install -D -m 0644 ${S}/20-egret-slot ${D}${libdir}/swupdate/conf.d/20-egret-slot
    install -D -m 0644 ${S}/10-egret-private.conf ${D}${systemd_system_unitdir}/swupdate.service.d/10-egret-private.conf
    install -D -m 0644 "${EGRET_UPDATE_CA}" ${D}${datadir}/egret/update/ca.pem
}
do_install[file-checksums] += "${@d.getVar('EGRET_UPDATE_CA') and d.getVar('EGRET_UPDATE_CA') + ':True'}"

PACKAGE_ARCH = "${MACHINE_ARCH}"
FILES:${PN} += "${libdir}/swupdate ${datadir}/egret ${systemd_system_unitdir}"
RDEPENDS:${PN} = "egret-update swupdate"
