#ifndef PARKIT_CRC_FOLD_H
#define PARKIT_CRC_FOLD_H

#include <stddef.h>
#include <stdint.h>

// pk_crc_folds reports whether this processor can do what pk_crc_fold does.
int pk_crc_folds(void);
// pk_crc_fold sums n bytes at src behind those that have the sum crc, and
// copies them to dst unless that is NULL.
uint32_t pk_crc_fold(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n);

#endif
