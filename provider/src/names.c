// Names without modules. A static glibc loads the modules that /etc/nsswitch.conf names (mdns4_minimal, resolve, sss)
// together with the glibc of the machine that it runs on, and crashes where that is another one. "files" and "dns" are
// part of it: /etc/hosts, /etc/resolv.conf and /etc/passwd are read as ever.

#include <features.h>

#ifdef __GLIBC__
#include <nss.h>
#include <sys/auxv.h>

__attribute__((constructor)) static void use_no_modules(void) {
    // A program that a loader started shares the glibc of the machine, and its modules fit.
    if (getauxval(AT_BASE) != 0) {
        return;
    }
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
}
#endif
