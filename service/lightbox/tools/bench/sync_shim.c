/* Loaded before the C library (LD_PRELOAD) by receivers.py, so that receivers can be compared fairly.
 *   SYNC_ON_CLOSE=1     a file that was written is synced before fclose() returns
 *   SYNC_DELAY_US=3000  every fsync and fdatasync takes that much longer: a slower disk */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void wait_longer(void) {
    const char *delay = getenv("SYNC_DELAY_US");
    if (delay && atoi(delay) > 0) usleep((useconds_t)atoi(delay));
}

static int slowly(const char *name, int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(descriptor);
    wait_longer();
    return result;
}

int fsync(int descriptor) { return slowly("fsync", descriptor); }
int fdatasync(int descriptor) { return slowly("fdatasync", descriptor); }

int fclose(FILE *file) {
    int (*real)(FILE *) = (int (*)(FILE *))dlsym(RTLD_NEXT, "fclose");
    int descriptor = file ? fileno(file) : -1;
    struct stat found;
    if (getenv("SYNC_ON_CLOSE") && descriptor >= 0 && !fstat(descriptor, &found) &&
        S_ISREG(found.st_mode) && (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY) {
        fflush(file);
        fsync(descriptor);
    }
    return real(file);
}
