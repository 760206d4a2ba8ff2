/*
 * The process of a shared server.   (shim, private to master.c and link.c)
 *
 *   RUNNING    takes clients
 *   ENDING     takes no more; its socket is gone; those there are go on, or were cancelled
 *   CLEANING   the guests are cleaned up
 *
 * RUNNING ends when nobody was there for as long as the plan says, at once if the socket's file is
 * somebody else's or gone and nobody is there, and by STOP, EXIT and SIGTERM.
 *
 * Each connection is a link:
 *
 *   GREETING   has sent nothing yet
 *   READING    brings what its HELLO announced
 *   ACCEPTED   may START
 *   TALKING    has a conversation
 *   LEAVING    the client is gone, its conversation ends
 *   ASKING     has asked about the server, or for its end, and sees that when the link is closed
 */
#pragma once

#include "shim/control/control.h"
#include "shim/serve/serve.h"

typedef struct pq_master pq_master;

typedef enum link_state {
    LINK_GREETING = 0,
    LINK_READING,
    LINK_ACCEPTED,
    LINK_TALKING,
    LINK_LEAVING,
    LINK_ASKING
} link_state;

typedef struct pq_link {
    pq_master *master;
    struct pq_link *next, **link;
    link_state state;
    int fd; /* its connection */
    pq_watch watch;
    pq_timer patience; /* until it is ACCEPTED */
    pq_control_hello lengths;
    pq_buf bytes; /* what it brings, in the order of `lengths` */
    pq_config *config;
    char *cwd;
    int in, out; /* its standard streams */
    pq_talk *talk;
} pq_link;

typedef enum master_state { MASTER_RUNNING = 0, MASTER_ENDING, MASTER_CLEANING } master_state;

struct pq_master {
    pq_server server;
    pq_control_plan *plan; /* the client's who started it */
    pq_config *config;
    master_state state;
    int listener;
    pq_watch watch;
    pq_timer idle;
    pq_timer pause; /* before it accepts again */
    pq_ms idle_since;
    pq_link *links;
    size_t link_count;
    unsigned signals;
    int end_signal; /* what conversations are ended with, or 0: they go on */
};

/* ---- link.c ---- */

/* Takes `fd`, a connection. Without memory it is closed. */
void pq_link_new(pq_master *master, int fd);
void pq_link_free(pq_link *link);

/* Ends its conversation as that signal does. May free the link. */
void pq_link_signal(pq_link *link, int number);

/* ---- master.c ---- */

/* A link was freed; `was_client`: it had been accepted. */
void pq_master_left(pq_master *master, bool was_client);

/* Takes no more clients; `number` (0: none) is the signal that ends those there are. */
void pq_master_end(pq_master *master, int number);

/* A line about the server and its clients. */
int pq_master_describe(const pq_master *master, pq_buf *out, pq_error *err);
