/** Operation codes and service actions by their names (SPC-4 table E.2, SBC-3 §5). */
export const TEST_UNIT_READY = 0x00
export const REQUEST_SENSE = 0x03
export const READ_6 = 0x08
export const WRITE_6 = 0x0a
export const INQUIRY = 0x12
export const MODE_SELECT_6 = 0x15
export const RESERVE_6 = 0x16
export const RELEASE_6 = 0x17
export const MODE_SENSE_6 = 0x1a
export const START_STOP_UNIT = 0x1b
export const PREVENT_ALLOW = 0x1e
export const READ_CAPACITY_10 = 0x25
export const READ_10 = 0x28
export const WRITE_10 = 0x2a
export const WRITE_AND_VERIFY_10 = 0x2e
export const VERIFY_10 = 0x2f
export const PRE_FETCH_10 = 0x34
export const SYNCHRONIZE_CACHE_10 = 0x35
export const WRITE_SAME_10 = 0x41
export const UNMAP = 0x42
export const SANITIZE = 0x48
export const MODE_SELECT_10 = 0x55
export const MODE_SENSE_10 = 0x5a
export const PERSISTENT_RESERVE_IN = 0x5e
export const PERSISTENT_RESERVE_OUT = 0x5f
export const EXTENDED_COPY = 0x83
export const RECEIVE_COPY_RESULTS = 0x84
export const READ_16 = 0x88
export const COMPARE_AND_WRITE = 0x89
export const WRITE_16 = 0x8a
export const ORWRITE_16 = 0x8b
export const WRITE_AND_VERIFY_16 = 0x8e
export const VERIFY_16 = 0x8f
export const PRE_FETCH_16 = 0x90
export const SYNCHRONIZE_CACHE_16 = 0x91
export const WRITE_SAME_16 = 0x93
export const SERVICE_ACTION_IN_16 = 0x9e
export const REPORT_LUNS = 0xa0
export const MAINTENANCE_IN = 0xa3
export const READ_12 = 0xa8
export const WRITE_12 = 0xaa
export const WRITE_AND_VERIFY_12 = 0xae
export const VERIFY_12 = 0xaf

/** Service actions of SERVICE ACTION IN(16). */
export const SA_READ_CAPACITY_16 = 0x10
export const SA_GET_LBA_STATUS = 0x12
/** Service actions of MAINTENANCE IN. */
export const SA_REPORT_SUPPORTED_OPCODES = 0x0c
export const SA_REPORT_SUPPORTED_TMFS = 0x0d

/** Length of a CDB by its opcode's group (SPC-4 §4.2.5.1); 0 where the group does not say. */
export const cdbBytesOf = (opcode: number): number => {
  switch (opcode >> 5) {
    case 0:
      return 6
    case 1:
    case 2:
      return 10
    case 4:
      return 16
    case 5:
      return 12
    default:
      return 0
  }
}
