#include "filexfer/guest_scripts.h"

#include "exec/guest_scripts.h"
#include "filexfer_guest_scripts.h"

int pq_file_script_begin(pq_script *script, pq_file_script which, pq_error *err)
{
    /* Writing and dropping need nothing of file_common.sh; a piece's call is better filled with
     * bytes. */
    static const struct {
        const char *text;
        bool common;
    } texts[] = {
        [PQ_FILE_PUT] = {pq_script_put, true},    [PQ_FILE_WRITE] = {pq_script_write, false},
        [PQ_FILE_DROP] = {pq_script_drop, false}, [PQ_FILE_OPEN] = {pq_script_open, true},
        [PQ_FILE_SUM] = {pq_script_sum, true},
    };
    pq_buf text = {0};
    int result = -1;
    if (pq_buf_add_text(&text, texts[which].common ? pq_script_file_common : "", err) == 0 &&
        pq_buf_add_text(&text, texts[which].text, err) == 0)
        result = pq_script_begin(script, pq_guest_common, text.data, err);
    pq_buf_done(&text);
    return result;
}
