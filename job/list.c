/*
 * Messages in the order in which they were taken.
 */

#include "list.h"

#include <stddef.h>


void
job_list_init(job_list_t *list)
{
    list->head = NULL;
    list->tail = &list->head;
}


void
job_list_push(job_list_t *list, job_msg_t *msg)
{
    msg->link = NULL;
    *list->tail = msg;
    list->tail = &msg->link;
}


job_msg_t *
job_list_pop(job_list_t *list)
{
    job_msg_t  *msg;

    msg = list->head;

    if (msg != NULL) {
        list->head = msg->link;

        if (list->head == NULL) {
            list->tail = &list->head;
        }
    }

    return msg;
}


void
job_list_join(job_list_t *list, job_list_t *other)
{
    if (other->head == NULL) {
        return;
    }

    *list->tail = other->head;
    list->tail = other->tail;

    job_list_init(other);
}


void
job_list_purge(job_list_t *list)
{
    job_msg_t  *msg, *next;

    msg = list->head;
    job_list_init(list);

    for ( /* void */ ; msg; msg = next) {
        next = msg->link;

        if (msg->part != NULL) {
            job_list_push(list, msg);

        } else {
            job_msg_unref(msg);
        }
    }
}


void
job_list_free(job_list_t *list)
{
    job_msg_t  *msg, *next;

    for (msg = list->head; msg; msg = next) {
        next = msg->link;
        job_msg_unref(msg);
    }

    job_list_init(list);
}
