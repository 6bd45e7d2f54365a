"""temporary"""
from fastapi import APIRouter
def router(context):
    return APIRouter()
