/* Cuts the power of the file system that its argument is on: nothing more reaches the disk, and the
 * log is not flushed (EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH). */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int count, char **arguments) {
  uint32_t flags = 2;
  int directory = count > 1 ? open(arguments[1], O_RDONLY) : -1;
  if (directory < 0 || ioctl(directory, _IOR('X', 125, uint32_t), &flags) != 0) {
    perror("cut");
    return 1;
  }
  return 0;
}
