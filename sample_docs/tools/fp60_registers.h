/*
 * fp60_registers.h - holding registers of the FP-60 service port
 *
 * For integrators who read the probe by cable instead of radio.
 * Modbus RTU, 19200 baud, 8 data bits, even parity, 1 stop bit.
 * The service port needs firmware 1.9.0 or later and the cable HF-6002.
 */
#ifndef FP60_REGISTERS_H
#define FP60_REGISTERS_H

/* Modbus address when the probe leaves the factory. */
#define FP60_DEFAULT_ADDRESS      27

/* Moisture of rings 1 to 6, in 0.1 percent by volume, unsigned. */
#define FP60_REG_VWC_FIRST        0x0100
#define FP60_REG_VWC_LAST         0x0105

/* Salinity of rings 1 to 6, in 0.01 dS/m, unsigned. */
#define FP60_REG_EC_FIRST         0x0110
#define FP60_REG_EC_LAST          0x0115

/* Soil temperature at ring 3, in 0.1 degree Celsius, signed. */
#define FP60_REG_TEMP             0x0120

/* Battery, in percent of the full charge. */
#define FP60_REG_BATTERY          0x0130

/* Days since the probe was switched on for the first time. */
#define FP60_REG_AGE_DAYS         0x0131

/*
 * Writing FP60_UNLOCK_KEY to this register allows writes to the
 * configuration registers for the next 60 seconds.
 */
#define FP60_REG_UNLOCK           0x01F0
#define FP60_UNLOCK_KEY           0x5AF6

/* Configuration, write only after unlocking. */
#define FP60_REG_INTERVAL_MIN     0x0200  /* 5 to 720 */
#define FP60_REG_SOIL             0x0201  /* 1 to 6, as in fenconf.py */
#define FP60_REG_ADDRESS          0x0202  /* 1 to 247 */

/* A ring that failed its self-check returns this value. */
#define FP60_VALUE_INVALID        0xFFFF

/* Shortest time between two readings over the service port, in seconds. */
#define FP60_MIN_POLL_S           15

/* Longest cable between the probe and the Modbus master, in metres. */
#define FP60_MAX_CABLE_M          40

#endif /* FP60_REGISTERS_H */
