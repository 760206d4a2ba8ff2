#include "filexfer/guest_scripts.h"

#include "exec/guest_scripts.h"
#include "filexfer_guest_scripts.h"

int pq_file_script_begin(pq_script *script, pq_file_script which, pq_error *err)
{
    /* Writing and dropping need nothing of file_common.sh; a piece's call is better filled with
     * bytes. */
    enum { ALONE, FILES, TREES };
    static const struct {
        const char *text;
        int common;
    } texts[] = {
        [PQ_FILE_PUT] = {pq_script_put, FILES},
        [PQ_FILE_WRITE] = {pq_script_write, ALONE},
        [PQ_FILE_DROP] = {pq_script_drop, ALONE},
        [PQ_FILE_ADOPT] = {pq_script_adopt, FILES},
        [PQ_FILE_OPEN] = {pq_script_open, FILES},
        [PQ_FILE_SUM] = {pq_script_sum, FILES},
        [PQ_FILE_PACK] = {pq_script_pack, FILES},
        [PQ_FILE_TREE_OPEN] = {pq_script_tree_open, TREES},
        [PQ_FILE_TREE_UNPACK] = {pq_script_tree_unpack, TREES},
        [PQ_FILE_TREE_PACK] = {pq_script_tree_pack, TREES},
        [PQ_FILE_TREE_DROP] = {pq_script_tree_drop, TREES},
    };
    pq_buf text = {0};
    int result = -1;
    int common = texts[which].common;
    if (pq_buf_add_text(&text, common >= FILES ? pq_script_file_common : "", err) == 0 &&
        pq_buf_add_text(&text, common >= TREES ? pq_script_tree_common : "", err) == 0 &&
        pq_buf_add_text(&text, texts[which].text, err) == 0)
        result = pq_script_begin(script, pq_guest_common, text.data, err);
    pq_buf_done(&text);
    return result;
}
